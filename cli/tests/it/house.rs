//! Keeping house: secrets, verify, backup, restore, doctor, completions.

use insta::assert_snapshot;

use crate::stage::Stage;

#[test]
fn secrets_go_in_and_never_come_out() {
    let stage = Stage::with(
        "use",
        "jobs:\n  a: { uses: command, env: { P: \"{{ secret('db') }}\" }, with: { script: 'echo \"$P\"; test \"$P\" = xyzzy-1234' } }\n",
    );
    assert_snapshot!("secret_empty", stage.weir("secret set db").told());
    let said = stage.fed("secret set db", "xyzzy-1234\n");
    assert_eq!((said.code, said.out.as_str()), (Some(0), "`db` is kept\n"), "{said:?}");
    stage.fed("secret set db --project tap", "other-value\n");
    assert_snapshot!("secret_list", stage.weir("secret list").told());
    assert!(!stage.weir("secret list --json").out.contains("xyzzy"));
    assert_eq!(stage.weir("run use.flow.yaml -q").code, Some(0));
    assert_eq!(stage.weir("logs 1 a").out, "***\n");
    assert_eq!(stage.weir("secret rm db").code, Some(0));
    assert_snapshot!("secret_gone", stage.weir("secret rm db").told());
}

#[test]
fn a_home_is_backed_up_and_made_again() {
    let stage = Stage::with("one", "jobs:\n  a: { uses: command, with: { script: echo hello } }\n");
    stage.weir("run one.flow.yaml -q");
    assert_snapshot!("verify", stage.weir("verify").told());
    assert_snapshot!("backup", stage.weir("backup saved").told());
    assert_snapshot!("backup_twice", stage.weir("backup saved").told());
    assert_snapshot!("restore", stage.weir("--home again restore saved").told());
    assert_eq!(stage.weir("--home again logs 1 a").out, "hello\n");
    assert_eq!(stage.weir("--home again verify").code, Some(0));
    assert_eq!(stage.weir("--home other restore nowhere").code, Some(1));
}

#[test]
fn the_doctor_looks_at_everything() {
    let stage = Stage::new();
    let said = stage.weir("doctor --json");
    let findings = said.json();
    let names: Vec<&str> = findings
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|finding| finding["what"].as_str())
        .collect();
    assert_eq!(names, ["home", "disk", "clock", "tools", "cgroups", "open files", "knowledge"]);
    assert!(!stage.home().exists(), "it makes nothing");
    stage.weir("runs");
    let findings = stage.weir("doctor --json").json();
    assert_eq!(findings.as_array().map(Vec::len), Some(10));
    let key = stage.path("home/secret.key");
    stage.file("home/secret.key", "x");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("it is ours");
    let said = stage.weir("doctor");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("others have rights on"), "{said:?}");
}

#[test]
fn completions_know_every_command() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = stage.weir(&format!("completions {shell}"));
        assert_eq!(said.code, Some(0), "{shell}");
        assert!(said.out.contains("diagnose") && said.out.contains("rerun"), "{shell}");
    }
    assert_eq!(stage.weir("completions tcsh").code, Some(2));
}
