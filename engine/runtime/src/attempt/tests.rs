//! Attempts that end, and those whose end is asked for.

use super::*;
use weir_core::mistake::Place;

#[test]
fn a_declared_output_must_be_there_and_match_as_a_whole() {
    let declared = |pattern: Option<&str>| {
        vec![Output {
            name: "port_id".into(),
            pattern: pattern.map(str::to_owned),
            place: Place::default(),
        }]
    };
    let outputs = |text: &str| Outputs::from([("port_id".to_owned(), text.into())]);
    assert_eq!(missing_output(&declared(None), &outputs("x")), None);
    assert_eq!(
        missing_output(&declared(None), &outputs("")).as_deref(),
        Some("the job ended well but left no output `port_id`")
    );
    assert_eq!(missing_output(&declared(Some("[0-9a-f]+")), &outputs("0af")), None);
    let message = missing_output(&declared(Some("[0-9a-f]+")), &outputs("0af type=dict"));
    assert_eq!(
        message.as_deref(),
        Some("output `port_id` is `0af type=dict`, which does not match `[0-9a-f]+`")
    );
}
