//! What stands in a group's `task` list.

use crate::taskfile::yaml::{Node, Yaml};

/// Keys that a task written inside a group has, and a mapping that only adapts a known task seldom has.
const OWN_TASK_KEYS: &[&str] = &["include", "dataset_path", "output_type"];

/// An item of a group's `task` list.
pub enum Member<'c> {
    /// The name of a task, group or tag.
    Name(&'c str),
    /// A known task or group with keys of its own, or one that is written here.
    Mapping {
        /// The whole mapping.
        node: &'c Node,
        /// Its entries.
        entries: &'c [(Node, Node)],
        /// `group` or `task`.
        name: &'c str,
        /// Whether it is a group.
        is_group: bool,
    },
    /// Something else, which is an error.
    Other(&'c Node),
}

/// The items of a `task` list, or the one name that stands there.
pub fn members(list: &Node) -> Vec<Member<'_>> {
    match &list.value {
        Yaml::Seq(items) => items.iter().map(member).collect(),
        Yaml::Str(_) => vec![member(list)],
        _ => Vec::new(),
    }
}

fn member(node: &Node) -> Member<'_> {
    match &node.value {
        Yaml::Str(name) => Member::Name(name),
        Yaml::Map(entries) => {
            let group = node.get("group").and_then(|n| n.value.as_str());
            match group.or_else(|| node.get("task").and_then(|n| n.value.as_str())) {
                Some(name) => Member::Mapping { node, entries, name, is_group: group.is_some() },
                None => Member::Other(node),
            }
        }
        _ => Member::Other(node),
    }
}

/// The names that a `task` list stands for (of a group written inside it, the names in that), and the tasks that
/// are written inside it.
pub fn names<'c>(list: &'c Node, names: &mut Vec<String>, written: &mut Vec<(String, &'c [(Node, Node)])>) {
    for member in members(list) {
        match member {
            Member::Name(name) => names.push(name.to_owned()),
            Member::Mapping { node, entries, name, is_group } => match (is_group, node.get("task")) {
                (true, Some(inner)) => self::names(inner, names, written),
                (true, None) => names.push(name.to_owned()),
                (false, _) => {
                    names.push(name.to_owned());
                    if OWN_TASK_KEYS.iter().any(|key| node.get(key).is_some()) {
                        written.push((name.to_owned(), entries));
                    }
                }
            },
            Member::Other(_) => {}
        }
    }
}
