//! The tables as sea-orm knows them, for reading, and how their rows become values.
//!
//! Only the writer writes, with statements of its own (`table.rs`).

use weir_core::ids::{RunId, TaskIx};
use weir_core::time::Timestamp;

use super::Error;
use super::rows::{
    AttemptRow, BlobRow, BlockRow, DiagnosisRow, EventRow, ResultRow, RunRow, SecretRow, TaskRow,
    VersionRow,
};

/// A number of the database as the narrower one it was written from.
fn fit<T: TryFrom<i64>>(number: i64) -> Result<T, Error> {
    T::try_from(number)
        .map_err(|_| Error::Impossible(format!("{number} where a smaller number belongs")))
}

pub(super) mod run {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "run")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub project: String,
        pub flow: String,
        pub version: String,
        pub state: i64,
        pub reason: Option<String>,
        pub paused: i64,
        pub origin: Option<i64>,
        pub parent: Option<String>,
        pub params: String,
        pub confirm: String,
        pub start: String,
        pub key: String,
        pub by: String,
        pub due_at: i64,
        pub created_at: i64,
        pub started_at: Option<i64>,
        pub ended_at: Option<i64>,
        pub seq: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod task {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "task")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub run: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub task: i64,
        pub state: i64,
        pub cause: i64,
        pub attempt: i64,
        pub tries: i64,
        pub since: i64,
        pub until: Option<i64>,
        pub extra: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod block {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "block")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub run: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub first: i64,
        pub owner: i64,
        pub scope: i64,
        pub count: i64,
        pub remedy: Option<i64>,
        pub items: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod attempt {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "attempt")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub run: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub task: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i64,
        pub state: i64,
        pub started_at: i64,
        pub ended_at: Option<i64>,
        pub exit_code: Option<i64>,
        pub signal: Option<i64>,
        pub class: Option<i64>,
        pub message: Option<String>,
        pub handle: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod result {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "result")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub run: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub task: i64,
        pub outputs: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod diagnosis {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "diagnosis")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub run: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub task: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub attempt: i64,
        pub at: i64,
        pub signature: String,
        pub evidence: String,
        pub then: String,
        pub used: bool,
        pub result: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod event {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "event")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub run: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        pub at: i64,
        pub kind: i64,
        pub task: Option<i64>,
        pub attempt: Option<i64>,
        pub by: Option<String>,
        pub detail: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod version {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "version")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub hash: String,
        pub project: String,
        pub flow: String,
        pub texts: String,
        pub at: i64,
        pub seen_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod blob {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "blob")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub hash: String,
        pub content: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod secret {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "secret")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub scope: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub sealed: Vec<u8>,
        pub key_id: String,
        pub at: i64,
        pub by: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TryFrom<run::Model> for RunRow {
    type Error = Error;

    fn try_from(row: run::Model) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            project: row.project,
            flow: row.flow,
            version: row.version,
            state: fit(row.state)?,
            reason: row.reason,
            paused: row.paused != 0,
            origin: row.origin,
            parent: row.parent,
            params: row.params,
            confirm: row.confirm,
            start: row.start,
            key: row.key,
            by: row.by,
            due_at: Timestamp::from_millis(row.due_at),
            created_at: Timestamp::from_millis(row.created_at),
            started_at: row.started_at.map(Timestamp::from_millis),
            ended_at: row.ended_at.map(Timestamp::from_millis),
            seq: row.seq,
        })
    }
}

impl TryFrom<task::Model> for TaskRow {
    type Error = Error;

    fn try_from(row: task::Model) -> Result<Self, Error> {
        Ok(Self {
            run: RunId(row.run),
            task: TaskIx(fit(row.task)?),
            state: fit(row.state)?,
            cause: fit(row.cause)?,
            attempt: fit(row.attempt)?,
            tries: fit(row.tries)?,
            since: Timestamp::from_millis(row.since),
            until: row.until.map(Timestamp::from_millis),
            extra: row.extra,
        })
    }
}

impl TryFrom<block::Model> for BlockRow {
    type Error = Error;

    fn try_from(row: block::Model) -> Result<Self, Error> {
        Ok(Self {
            run: RunId(row.run),
            first: TaskIx(fit(row.first)?),
            owner: TaskIx(fit(row.owner)?),
            scope: fit(row.scope)?,
            count: fit(row.count)?,
            remedy: row.remedy.map(fit).transpose()?,
            items: row.items,
        })
    }
}

impl TryFrom<attempt::Model> for AttemptRow {
    type Error = Error;

    fn try_from(row: attempt::Model) -> Result<Self, Error> {
        Ok(Self {
            run: RunId(row.run),
            task: TaskIx(fit(row.task)?),
            number: fit(row.number)?,
            state: fit(row.state)?,
            started_at: Timestamp::from_millis(row.started_at),
            ended_at: row.ended_at.map(Timestamp::from_millis),
            exit_code: row.exit_code.map(fit).transpose()?,
            signal: row.signal.map(fit).transpose()?,
            class: row.class.map(fit).transpose()?,
            message: row.message,
            handle: row.handle,
        })
    }
}

impl TryFrom<result::Model> for ResultRow {
    type Error = Error;

    fn try_from(row: result::Model) -> Result<Self, Error> {
        Ok(Self { run: RunId(row.run), task: TaskIx(fit(row.task)?), outputs: row.outputs })
    }
}

impl TryFrom<diagnosis::Model> for DiagnosisRow {
    type Error = Error;

    fn try_from(row: diagnosis::Model) -> Result<Self, Error> {
        Ok(Self {
            run: RunId(row.run),
            task: TaskIx(fit(row.task)?),
            attempt: fit(row.attempt)?,
            at: Timestamp::from_millis(row.at),
            signature: row.signature,
            evidence: row.evidence,
            then: row.then,
            used: row.used,
            result: row.result,
        })
    }
}

impl TryFrom<event::Model> for EventRow {
    type Error = Error;

    fn try_from(row: event::Model) -> Result<Self, Error> {
        Ok(Self {
            run: RunId(row.run),
            seq: row.seq,
            at: Timestamp::from_millis(row.at),
            kind: fit(row.kind)?,
            task: row.task.map(fit).transpose()?.map(TaskIx),
            attempt: row.attempt.map(fit).transpose()?,
            by: row.by,
            detail: row.detail,
        })
    }
}

impl TryFrom<version::Model> for VersionRow {
    type Error = Error;

    fn try_from(row: version::Model) -> Result<Self, Error> {
        Ok(Self {
            hash: row.hash,
            project: row.project,
            flow: row.flow,
            texts: row.texts,
            at: Timestamp::from_millis(row.at),
        })
    }
}

impl TryFrom<blob::Model> for BlobRow {
    type Error = Error;

    fn try_from(row: blob::Model) -> Result<Self, Error> {
        Ok(Self { hash: row.hash, content: row.content })
    }
}

impl TryFrom<secret::Model> for SecretRow {
    type Error = Error;

    fn try_from(row: secret::Model) -> Result<Self, Error> {
        Ok(Self {
            scope: row.scope,
            name: row.name,
            sealed: row.sealed,
            key_id: row.key_id,
            at: Timestamp::from_millis(row.at),
            by: row.by,
        })
    }
}
