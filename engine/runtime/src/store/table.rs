//! How rows become statements: a table's columns, its key, and the text for a number of rows.
//!
//! A statement's text depends on the number of rows only, and that is a power of two: so there are few texts, and SQLite
//! keeps each prepared. Rows that fill it up are all NULL and match nothing.

use std::fmt::Write as _;

use rusqlite::{Statement, ToSql};

/// The most rows in one statement.
pub(super) const MOST_ROWS: usize = 1_024;

/// What is done with rows whose key is there already.
pub(super) enum Form {
    /// They must not be there.
    Insert,
    /// They are left as they are.
    Keep,
    /// These columns are overwritten.
    Replace(&'static [&'static str]),
    /// They must be there; all columns but the first, the key, are overwritten.
    Update,
}

/// A row that the writer writes.
pub(super) trait Row {
    const TABLE: &'static str;
    const COLUMNS: &'static [&'static str];
    const FORM: Form;
    /// The primary key's columns, as SQL lists them.
    const KEY: &'static str;
    type Key<'a>: Ord
    where
        Self: 'a;
    fn key(&self) -> Self::Key<'_>;
    fn bind(&self, values: &mut Values<'_, '_>);
}

/// The values of a statement, given to it in order.
pub(super) struct Values<'a, 'c> {
    statement: &'a mut Statement<'c>,
    /// The place of the last one; they count from 1.
    last: usize,
    failed: Option<rusqlite::Error>,
}

impl<'a, 'c> Values<'a, 'c> {
    fn add(&mut self, value: impl ToSql) -> &mut Self {
        self.last += 1;
        if let Err(error) = self.statement.raw_bind_parameter(self.last, value) {
            self.failed.get_or_insert(error);
        }
        self
    }

    pub(super) fn int(&mut self, value: impl Into<i64>) -> &mut Self {
        self.add(value.into())
    }

    pub(super) fn maybe_int(&mut self, value: Option<impl Into<i64>>) -> &mut Self {
        match value {
            Some(value) => self.add(value.into()),
            None => self.null(),
        }
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.add(value)
    }

    pub(super) fn maybe_text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.add(value),
            None => self.null(),
        }
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.add(value)
    }

    /// What is not given is NULL, as the values of the last use were taken away.
    fn null(&mut self) -> &mut Self {
        self.last += 1;
        self
    }

    /// Gives `rows` to a statement that takes as many or more.
    pub(super) fn give<R: Row>(
        rows: &[&R],
        statement: &'a mut Statement<'c>,
    ) -> Result<(), rusqlite::Error> {
        statement.clear_bindings();
        let mut values = Self { statement, last: 0, failed: None };
        for row in rows {
            row.bind(&mut values);
        }
        values.failed.map_or(Ok(()), Err)
    }
}

/// The statement that writes `size` rows, without a semicolon.
pub(super) fn write<R: Row>(size: usize, sql: &mut String) {
    let columns = R::COLUMNS.join(", ");
    let list = |sql: &mut String| {
        let row = format!("({})", vec!["?"; R::COLUMNS.len()].join(","));
        sql.push_str("VALUES ");
        for at in 0..size {
            sql.push_str(if at == 0 { "" } else { "," });
            sql.push_str(&row);
        }
    };
    let table = R::TABLE;
    if let Form::Update = R::FORM {
        let _ = write!(sql, "WITH v({columns}) AS (");
        list(sql);
        let set: Vec<String> =
            R::COLUMNS[1..].iter().map(|column| format!("{column} = v.{column}")).collect();
        let key = R::KEY;
        let _ = write!(
            sql,
            ") UPDATE {table} SET {} FROM v WHERE {table}.{key} = v.{key}",
            set.join(", ")
        );
        return;
    }
    let _ = write!(sql, "INSERT INTO {table} ({columns}) ");
    if size == 1 {
        list(sql);
    } else {
        sql.push_str("SELECT * FROM (");
        list(sql);
        sql.push_str(") WHERE column1 IS NOT NULL");
    }
    match R::FORM {
        Form::Insert | Form::Update => {}
        Form::Keep => {
            let _ = write!(sql, " ON CONFLICT ({}) DO NOTHING", R::KEY);
        }
        Form::Replace(columns) => {
            let set: Vec<String> =
                columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
            let _ = write!(sql, " ON CONFLICT ({}) DO UPDATE SET {}", R::KEY, set.join(", "));
        }
    }
}

/// The sizes of the statements that write `count` rows: whole ones first, and at most two for the rest.
pub(super) fn sizes(mut count: usize) -> Vec<usize> {
    let mut sizes = vec![MOST_ROWS; count / MOST_ROWS];
    count %= MOST_ROWS;
    if count > 256 && !count.is_power_of_two() {
        let whole = 1 << count.ilog2();
        sizes.push(whole);
        count -= whole;
    }
    if count > 0 {
        sizes.push(count.next_power_of_two());
    }
    sizes
}

/// Sorts rows by key and keeps the last word on each. Rows that may be written only once are all kept.
pub(super) fn last_words<'a, R: Row>(rows: impl Iterator<Item = &'a R>) -> Vec<&'a R> {
    let mut rows: Vec<&R> = rows.collect();
    rows.sort_by_key(|row| row.key());
    if let Form::Insert = R::FORM {
        return rows;
    }
    let mut kept: Vec<&R> = Vec::with_capacity(rows.len());
    for row in rows {
        match kept.last_mut() {
            Some(last) if last.key() == row.key() => *last = row,
            _ => kept.push(row),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::rows::{BlobRow, ResultRow};
    use super::*;

    #[test]
    fn few_statements_hold_all_rows() {
        for count in 0..5_000 {
            let sizes = sizes(count);
            assert!(sizes.iter().sum::<usize>() >= count);
            assert!(sizes.len() <= 2 * count.div_ceil(MOST_ROWS), "{count}: {sizes:?}");
            assert!(
                sizes.iter().all(|size| size.is_power_of_two() && *size <= MOST_ROWS),
                "{count}: {sizes:?}"
            );
            // All but the last are full.
            assert!(sizes.iter().rev().skip(1).sum::<usize>() <= count, "{count}: {sizes:?}");
        }
    }

    #[test]
    fn texts_depend_on_the_size_only() {
        let mut sql = String::new();
        write::<ResultRow>(1, &mut sql);
        assert_eq!(
            sql,
            "INSERT INTO result (run, task, outputs) VALUES (?,?,?) ON CONFLICT (run, task) DO UPDATE SET outputs = excluded.outputs"
        );
        sql.clear();
        write::<BlobRow>(2, &mut sql);
        assert_eq!(
            sql,
            "INSERT INTO blob (hash, content) SELECT * FROM (VALUES (?,?),(?,?)) WHERE column1 IS NOT NULL ON CONFLICT (hash) DO NOTHING"
        );
    }
}
