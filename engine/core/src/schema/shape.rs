//! What a place of settings takes at all.

use serde_json::Value;

use super::Schema;

impl Schema {
    /// Whether the place at a JSON pointer takes texts and nothing else. `false` where the schema does not say.
    pub fn takes_only_text(&self, pointer: &str) -> bool {
        let mut schemas = vec![&self.0];
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            schemas = schemas.into_iter().flat_map(|schema| self.inner(schema, &part)).collect();
        }
        let mut branches = schemas.into_iter().flat_map(|schema| self.branches(schema)).peekable();
        let is_text = |branch: &Value| branch.get("type").and_then(Value::as_str) == Some("string");
        branches.peek().is_some() && branches.all(is_text)
    }
}
