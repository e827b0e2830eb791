//! The store's suite: what is committed stays, in order, whatever goes wrong, and costs little.

#[path = "store/backup.rs"]
mod backup;
#[path = "store/bytes.rs"]
mod bytes;
#[path = "store/commit.rs"]
mod commit;
#[path = "store/fixture.rs"]
mod fixture;
#[path = "store/prune.rs"]
mod prune;
#[path = "store/read.rs"]
mod read;
#[path = "store/secrets.rs"]
mod secrets;
#[path = "store/trouble.rs"]
mod trouble;
#[path = "store/verify.rs"]
mod verify;
