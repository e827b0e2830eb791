//! The reference page is what the job types say.

use std::fs;
use std::path::Path;

/// Set to write the page anew.
const BLESS: &str = "WEIR_BLESS";

#[test]
fn the_reference_is_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/job-types.md");
    let made = weir_plugins::reference();
    if std::env::var_os(BLESS).is_some() {
        fs::write(&page, &made).expect("the page can be written");
    }
    let written = fs::read_to_string(&page).expect("the page is there");
    assert!(written == made, "docs/job-types.md is out of date: run the tests with {BLESS}=1");
}

#[test]
fn every_example_fits_its_schema() {
    for job_type in weir_plugins::with_faults() {
        let schema = job_type.schema();
        let mut pointers = vec![(schema.0.clone(), job_type.name().to_owned())];
        while let Some((shape, path)) = pointers.pop() {
            let values = shape.get("examples").and_then(|list| list.as_array()).cloned();
            let default = shape.get("default").cloned();
            for value in values.into_iter().flatten().chain(default) {
                // A template stands for whatever is asked for.
                if !value.to_string().contains("{{") {
                    let found = weir_core::schema::Schema(shape.clone()).check_value(&value);
                    assert!(found.is_empty(), "{path}: {value}: {found:?}");
                }
            }
            let properties = shape.get("properties").and_then(|map| map.as_object()).cloned();
            for (name, inner) in properties.into_iter().flatten() {
                pointers.push((inner, format!("{path}.{name}")));
            }
            if let Some(item) = shape.get("items") {
                pointers.push((item.clone(), format!("{path}[]")));
            }
        }
    }
}
