//! From a name to the configurations of the tasks it stands for.

use super::member::{Member, members};
use super::{GROUP_KEYS, Library, MAX_GROUP_DEPTH};
use crate::task::TaskError;
use crate::taskfile::include::{Config, Loader, at_place};
use crate::taskfile::yaml::Node;

/// Most tasks that one name may stand for.
const MAX_TASKS: usize = 50_000;

/// Keys that a group sets for its members.
pub type Overrides = [(Node, Node)];

/// Turns names into configurations.
pub struct Expander<'l> {
    library: &'l Library,
    /// Reads the files.
    pub loader: Loader,
    /// What was found so far.
    pub found: Vec<Config>,
}

impl<'l> Expander<'l> {
    /// Nothing found yet.
    pub fn new(library: &'l Library) -> Self {
        Self { library, loader: Loader::default(), found: Vec::new() }
    }

    /// Adds the tasks of a name.
    pub fn name(&mut self, name: &str, overrides: &Overrides, depth: usize) -> Result<(), TaskError> {
        let entry = self.library.find(name)?;
        match &entry.path {
            Some(path) => {
                let config = self.loader.load(path)?;
                self.config(config, overrides, depth)
            }
            None => {
                let mut members = entry.members.clone();
                members.sort();
                members.iter().try_for_each(|member| self.name(member, overrides, depth + 1))
            }
        }
    }

    /// Adds the task, or the tasks of the group, that a configuration is.
    pub fn config(&mut self, config: Config, overrides: &Overrides, depth: usize) -> Result<(), TaskError> {
        let group = config.get("group").filter(|_| config.get("class").is_none());
        let Some(group) = group.map(|s| s.value.value.key_text()) else {
            if self.found.len() >= MAX_TASKS {
                return Err(TaskError::new(format!("more than {MAX_TASKS} tasks in one group")));
            }
            let own = overrides.iter().filter(|(k, _)| k.value.as_str() != Some("task")).cloned().collect();
            let path = config.path().to_owned();
            self.found.push(config.overridden(own, &path));
            return Ok(());
        };
        if depth > MAX_GROUP_DEPTH {
            let message =
                format!("{}: groups are nested deeper than {MAX_GROUP_DEPTH}", config.path().display());
            return Err(TaskError::new(message).with_hint("does a group contain itself?"));
        }
        let mut inner: Vec<(Node, Node)> = config
            .settings()
            .filter(|s| !s.key.value.as_str().is_some_and(|key| GROUP_KEYS.contains(&key)))
            .map(|s| (s.key.clone(), s.value.clone()))
            .collect();
        put(&mut inner, overrides);
        let Some(list) = config.get("task") else { return Ok(()) };
        for member in members(list.value) {
            self.member(&member, (&group, &config), &inner, depth)?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        member: &Member<'_>,
        (group, file): (&str, &Config),
        overrides: &Overrides,
        depth: usize,
    ) -> Result<(), TaskError> {
        match member {
            Member::Name(name) => self.name(name, overrides, depth + 1),
            Member::Other(node) => {
                let message = "a group's `task` list has names, and mappings with `task` or `group`";
                Err(at_place(file.path(), node.at, message))
            }
            Member::Mapping { entries, name, is_group, .. } => {
                let key = if *is_group { "group" } else { "task" };
                if self.library.entries.contains_key(*name) {
                    let mut merged = overrides.to_vec();
                    put(&mut merged, &without(entries, key));
                    return self.name(name, &merged, depth + 1);
                }
                // Written here: its name is the group's and its own, as in lm_eval.
                let mut own: Vec<(Node, Node)> = if *is_group { Vec::new() } else { overrides.to_vec() };
                put(&mut own, entries);
                for (known, value) in &mut own {
                    if known.value.as_str() == Some(key) {
                        value.value = crate::taskfile::yaml::Yaml::Str(format!("{group}::{name}").into());
                    }
                }
                let config = self.loader.written_inside(own, file.path())?;
                self.config(config, if *is_group { overrides } else { &[] }, depth + 1)
            }
        }
    }
}

fn without(entries: &Overrides, key: &str) -> Vec<(Node, Node)> {
    entries.iter().filter(|(k, _)| k.value.as_str() != Some(key)).cloned().collect()
}

/// Sets keys, the later value winning.
fn put(entries: &mut Vec<(Node, Node)>, more: &Overrides) {
    for (key, value) in more {
        match entries.iter_mut().find(|(known, _)| known.value == key.value) {
            Some(known) => known.1 = value.clone(),
            None => entries.push((key.clone(), value.clone())),
        }
    }
}
