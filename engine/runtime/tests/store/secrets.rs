//! Secrets are kept, and nowhere in clear.

use std::path::Path;

use weir_engine::secrets::{Error, Secrets};

use crate::fixture::{folder, home, open};

fn found_in(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(found_in(&path, needle));
        } else if std::fs::read(&path)
            .expect("readable")
            .windows(needle.len())
            .any(|part| part == needle)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn secrets_are_kept_sealed() {
    let folder = folder();
    let store = open(&folder).await;
    let secrets = Secrets::open(&home(&folder), store.clone()).await.expect("a key is made");
    secrets.set("tap", "vcap", b"first-value", "ada").await.expect("it is kept");
    secrets.set("tap", "vcap", b"hunter2-hunter2", "bob").await.expect("it is replaced");
    secrets.set("", "mail", b"everywhere", "ada").await.expect("it is kept");
    assert_eq!(found_in(folder.path(), b"hunter2-hunter2"), Vec::<String>::new());
    // The search itself works: the name is there to be found.
    assert_ne!(found_in(folder.path(), b"vcap"), Vec::<String>::new());
    let value = secrets.get("tap", "vcap").await.expect("it opens").expect("it is there");
    assert_eq!(&value[..], b"hunter2-hunter2");
    assert!(secrets.get("", "vcap").await.expect("readable").is_none());
    let list: Vec<(String, String, String)> = secrets
        .list()
        .await
        .expect("readable")
        .into_iter()
        .map(|row| (row.scope, row.name, row.by))
        .collect();
    let row =
        |scope: &str, name: &str, by: &str| (scope.to_owned(), name.to_owned(), by.to_owned());
    assert_eq!(list, [row("", "mail", "ada"), row("tap", "vcap", "bob")]);
    assert!(secrets.remove("tap", "vcap").await.expect("it goes"));
    assert!(!secrets.remove("tap", "vcap").await.expect("it is gone"));
    assert!(secrets.get("tap", "vcap").await.expect("readable").is_none());
    store.close().await;
    assert_eq!(found_in(folder.path(), b"hunter2-hunter2"), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_key_is_told_and_not_made_anew() {
    let folder = folder();
    let store = open(&folder).await;
    let home = home(&folder);
    let secrets = Secrets::open(&home, store.clone()).await.expect("a key is made");
    secrets.set("", "mail", b"value", "ada").await.expect("it is kept");
    let kept = std::fs::read(home.secret_key()).expect("it is there");
    std::fs::remove_file(home.secret_key()).expect("it is ours");
    let error = Secrets::open(&home, store.clone()).await.expect_err("the key is gone");
    assert!(matches!(error, Error::NoKey { .. }), "{error}");
    assert!(!home.secret_key().exists());
    std::fs::write(home.secret_key(), kept).expect("it is put back");
    let error = Secrets::open(&home, store.clone()).await.expect_err("it is open to others");
    assert!(matches!(error, Error::OpenToOthers { .. }), "{error}");
}
