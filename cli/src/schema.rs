//! `weir schema` and `weir types`: what may stand in a flow file.

use crate::access;
use crate::args::{self, Global};
use crate::end::{End, Ended, wrong};
use crate::shipped;
use crate::style::Style;

pub(crate) async fn schema(global: &Global, args: &args::Schema) -> Ended {
    let types = shipped::job_types(&access::home_path(global)?).await;
    let schema = if let Some(name) = &args.job_type {
        let Some(known) = types.get(name) else {
            let names = types.iter().map(weir_core::job_types::Known::name);
            let near = weir_core::schema::nearest(name, names);
            let help = near
                .map_or("`weir types` lists them".to_owned(), |near| format!("there is `{near}`"));
            return Err(wrong(format!("there is no job type `{name}`\nhelp: {help}")));
        };
        known.schema().for_editors(weir_core::schema::Templates::Filled)
    } else {
        weir_core::flow::json_schema(&types)
    };
    say!("{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(End::Done)
}

pub(crate) async fn types(global: &Global) -> Ended {
    let types = shipped::job_types(&access::home_path(global)?).await;
    if global.json {
        let list: Vec<_> = types
            .iter()
            .map(|known| serde_json::json!({ "name": known.name(), "about": known.about() }))
            .collect();
        say!("{}", serde_json::Value::from(list))?;
        return Ok(End::Done);
    }
    let style = Style::for_stdout(global);
    let wide = types.iter().map(|known| known.name().len()).max().unwrap_or(0);
    for known in types.iter() {
        let gap = " ".repeat(wide - known.name().len());
        say!("{}{gap}  {}", style.strong(known.name()), known.about())?;
    }
    Ok(End::Done)
}
