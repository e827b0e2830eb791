//! Which group has which role where.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_engine::people::Role;

/// A role for the members of a group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    /// The group; everybody if there is none.
    #[serde(default)]
    group: Option<String>,
    /// The project; empty for all.
    #[serde(default)]
    project: String,
}

/// What somebody in these groups may do: the most that any of them brings, each project once.
pub(crate) fn roles(grants: &[Grant], groups: &[String]) -> Vec<(String, Role)> {
    let mut roles: BTreeMap<&str, Role> = BTreeMap::new();
    for grant in grants {
        let is_theirs = grant.group.as_ref().is_none_or(|group| groups.contains(group));
        if is_theirs {
            let role = roles.entry(&grant.project).or_insert(grant.role);
            *role = (*role).max(grant.role);
        }
    }
    roles.into_iter().map(|(project, role)| (project.to_owned(), role)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_any_group_brings_counts() {
        let grants: Vec<Grant> = serde_json::from_value(serde_json::json!([
            { "group": "ops", "role": "operator" },
            { "group": "leads", "role": "admin", "project": "tap" },
            { "group": "ops", "role": "viewer", "project": "tap" },
            { "role": "viewer" },
        ]))
        .expect("grants");
        let of = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            let tell = |(project, role): (String, Role)| format!("{project}:{}", role.name());
            roles(&grants, &groups).into_iter().map(tell).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&[]), ":viewer");
        assert_eq!(of(&["ops"]), ":operator tap:viewer");
        assert_eq!(of(&["leads", "ops"]), ":operator tap:admin");
        assert_eq!(of(&["Ops"]), ":viewer");
        assert!(roles(&grants[..3], &[]).is_empty());
    }
}
