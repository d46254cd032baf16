//! From a row to a prompt: question, choices, answer, and the examples before them, character for character as
//! lm_eval 0.4.13 writes them without a chat template.

use std::sync::Arc;

use loadline_core::untrusted::one_line;
use minijinja::Value;
use minijinja::value::ValueKind;

use super::config::{DocTo, Fewshot, TaskConfig, Turn};
use super::yaml::{Node, Yaml};
use crate::python::{is_index, literal};
use crate::task::TaskError;
use crate::template::{TemplateError, Templates, columns, text};

/// A row with what an error about it says.
#[derive(Clone, Debug)]
pub struct Doc {
    /// Its columns.
    pub value: Value,
    /// The sample's id, or which example it is.
    pub name: Arc<str>,
    /// Where it stands.
    pub place: Arc<str>,
}

/// Everything a prompt is made with, compiled.
pub struct Prompter {
    templates: Templates,
    task: Parts,
    fewshot: Parts,
    description: Option<Part>,
    /// For messages: the task file.
    file: String,
}

/// The parts of a question with its answer.
struct Parts {
    text: Option<Part>,
    target: Option<Part>,
    choice: Option<Part>,
    prefix: Option<Part>,
    target_delimiter: String,
    fewshot_delimiter: String,
}

/// How one part comes from a row.
#[derive(Clone, Debug)]
struct Part {
    key: &'static str,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// The value of a column.
    Column(String),
    /// The value of a column in rows that have it, else the text itself.
    ColumnIfThere(String),
    /// A template, compiled under the part's key.
    Template,
    /// A text without braces.
    Literal(String),
    Int(i64),
    List(Vec<Value>),
}

/// A question's parts, evaluated.
#[derive(Clone, Debug)]
pub struct Question {
    /// The question, or the index of a context.
    pub text: Value,
    /// The choices.
    pub choices: Option<Vec<String>>,
    /// The answer: a text, an index or a list.
    pub target: Value,
}

impl Prompter {
    /// Compiles the templates. `columns` are those of the first row that is asked: a `doc_to_…` of that name means
    /// the column.
    ///
    /// # Errors
    /// When a template is broken, or a bare word is nearly a column's name.
    pub fn new(config: &TaskConfig, file: String, columns: &[String]) -> Result<Self, TaskError> {
        let mut compiler = Compiler { templates: Templates::new(), columns, file: &file };
        let task =
            compiler.parts(&config.turn, ["doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix"])?;
        let fewshot = compiler.parts(
            &config.fewshot.turn,
            [
                "fewshot_config.doc_to_text",
                "fewshot_config.doc_to_target",
                "fewshot_config.doc_to_choice",
                "fewshot_config.gen_prefix",
            ],
        )?;
        let description = match config.description.as_str() {
            "" => None,
            description => Some(compiler.field(description, "description")?),
        };
        Ok(Self { templates: compiler.templates, task, fewshot, description, file })
    }

    fn error(&self, part: &str, doc: &Doc, message: &str) -> TaskError {
        TaskError::new(format!("{}: {part}: {} ({}): {message}", self.file, doc.name, doc.place))
    }

    fn template_error(&self, part: &str, doc: &Doc, error: TemplateError) -> TaskError {
        let full = self.error(part, doc, &error.message);
        match error.hint {
            Some(hint) => full.with_hint(hint),
            None => full,
        }
    }

    fn column(&self, part: &Part, column: &str, doc: &Doc) -> Result<Value, TaskError> {
        match doc.value.get_attr(column) {
            Ok(value) if !value.is_undefined() => Ok(value),
            _ => {
                let known = columns(&doc.value);
                let list = one_line(&known.join(", "), 300);
                let error =
                    self.error(part.key, doc, &format!("the row has no column `{column}` (columns: {list})"));
                Err(match loadline_core::suggest::nearest(column, known.iter().map(String::as_str)) {
                    Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
                    None => error,
                })
            }
        }
    }

    fn value(&self, part: &Part, doc: &Doc) -> Result<Value, TaskError> {
        match &part.how {
            How::Column(column) => self.column(part, column, doc),
            How::ColumnIfThere(word) => Ok(match doc.value.get_attr(word) {
                Ok(value) if !value.is_undefined() => value,
                _ => Value::from(word.as_str()),
            }),
            How::Template => self
                .templates
                .render(part.key, &doc.value)
                .map(Value::from)
                .map_err(|e| self.template_error(part.key, doc, e)),
            How::Literal(text) => Ok(Value::from(text.as_str())),
            How::Int(i) => Ok(Value::from(*i)),
            How::List(items) => Ok(items.iter().cloned().collect()),
        }
    }

    fn needed<'p>(&self, part: Option<&'p Part>, key: &str) -> Result<&'p Part, TaskError> {
        part.ok_or_else(|| TaskError::new(format!("{}: {key} is missing", self.file)))
    }

    /// The question's text; a rendered number is an index when there are choices.
    fn text(&self, parts: &Parts, doc: &Doc) -> Result<Value, TaskError> {
        let part = self.needed(parts.text.as_ref(), "doc_to_text")?;
        let value = self.value(part, doc)?;
        Ok(self.index_if_choices(part, value))
    }

    /// lm_eval turns a rendered number into an index when the task has choices, for examples too.
    fn index_if_choices(&self, part: &Part, value: Value) -> Value {
        let rendered = matches!(part.how, How::Template | How::Literal(_) | How::ColumnIfThere(_));
        let index = value.as_str().filter(|t| rendered && self.task.choice.is_some() && is_index(t));
        match index.and_then(|t| t.parse::<i64>().ok()) {
            Some(index) => Value::from(index),
            None => value,
        }
    }

    fn target(&self, parts: &Parts, doc: &Doc) -> Result<Value, TaskError> {
        let part = self.needed(parts.target.as_ref(), "doc_to_target")?;
        let value = self.index_if_choices(part, self.value(part, doc)?);
        let rendered = matches!(part.how, How::Template | How::Literal(_));
        match value.as_str().filter(|t| rendered && t.starts_with('[') && t.ends_with(']') && t.len() > 1) {
            Some(list) => Ok(literal::parse(list).unwrap_or(value)),
            None => Ok(value),
        }
    }

    fn choices(&self, parts: &Parts, doc: &Doc) -> Result<Option<Vec<String>>, TaskError> {
        let Some(part) = &parts.choice else { return Ok(None) };
        let mut value = self.value(part, doc)?;
        if let (Some(list), How::Template | How::Literal(_) | How::ColumnIfThere(_)) =
            (value.as_str(), &part.how)
        {
            value = literal::parse(list).map_err(|e| {
                let shown = one_line(list, 120);
                self.error(part.key, doc, &format!("`{shown}` is no Python list: {e}"))
            })?;
        }
        if value.kind() != ValueKind::Seq {
            let message = format!("the choices must be a list, this is {}", value.kind());
            return Err(self.error(part.key, doc, &message));
        }
        let items = value.try_iter().map_err(|e| self.error(part.key, doc, &e.to_string()))?;
        Ok(Some(items.map(|item| text(&item).into_owned()).collect()))
    }

    /// The parts of a row that is asked.
    ///
    /// # Errors
    /// When a template cannot be filled in, a column is missing or the choices are no list.
    pub fn question(&self, doc: &Doc) -> Result<Question, TaskError> {
        Ok(Question {
            text: self.text(&self.task, doc)?,
            choices: self.choices(&self.task, doc)?,
            target: self.target(&self.task, doc)?,
        })
    }

    /// The answer of a row alone, for tasks that ask nothing.
    ///
    /// # Errors
    /// As [`Self::question`].
    pub fn answer(&self, doc: &Doc) -> Result<Value, TaskError> {
        self.target(&self.task, doc)
    }

    /// The whole prompt: description, examples, question, beginning of the answer.
    ///
    /// # Errors
    /// When a template cannot be filled in or a column is missing.
    pub fn context<'d>(
        &self,
        doc: &Doc,
        question: &Question,
        examples: impl Iterator<Item = &'d Doc>,
    ) -> Result<String, TaskError> {
        let mut prompt = match &self.description {
            Some(part) => text(&self.value(part, doc)?).into_owned(),
            None => String::new(),
        };
        for example in examples {
            self.example(example, &mut prompt)?;
        }
        let Some(asked) = question.text.as_str() else {
            return Err(self.not_text(doc, &question.text));
        };
        prompt.push_str(asked);
        if let Some(prefix) = self.prefix(&self.task, doc)? {
            if needs_space(asked, &prefix) {
                prompt.push_str(&self.task.target_delimiter);
            }
            prompt.push_str(&prefix);
        }
        Ok(prompt)
    }

    fn not_text(&self, doc: &Doc, value: &Value) -> TaskError {
        let error =
            self.error("doc_to_text", doc, &format!("the question must be a text, this is {}", value.kind()));
        if value.is_integer() {
            return error
                .with_hint("a context for each choice (doc_to_text as an index) is not supported yet");
        }
        error
    }

    fn prefix(&self, parts: &Parts, doc: &Doc) -> Result<Option<String>, TaskError> {
        let Some(part) = &parts.prefix else { return Ok(None) };
        let prefix = text(&self.value(part, doc)?).into_owned();
        Ok((!prefix.is_empty()).then_some(prefix))
    }

    /// One example with its answer.
    fn example(&self, doc: &Doc, prompt: &mut String) -> Result<(), TaskError> {
        let parts = &self.fewshot;
        let question = self.text(parts, doc)?;
        let choices = self.choices(parts, doc)?;
        let target = self.target(parts, doc)?;
        let prefix = self.prefix(parts, doc)?;
        let Some(asked) = question.as_str() else { return Err(self.not_text(doc, &question)) };
        let answer = self.answer_text(&target, choices.as_deref(), doc)?;
        prompt.push_str(asked);
        match answer.as_deref() {
            None | Some("") => {
                if let Some(prefix) = prefix {
                    if needs_space(asked, &prefix) {
                        prompt.push_str(&parts.target_delimiter);
                    }
                    prompt.push_str(&prefix);
                }
            }
            Some(answer) => {
                let prefix = prefix.unwrap_or_default();
                if prefix.is_empty() || needs_space(asked, &prefix) {
                    prompt.push_str(&parts.target_delimiter);
                }
                prompt.push_str(&prefix);
                if !prefix.is_empty() && needs_space(&prefix, answer) {
                    prompt.push(' ');
                }
                prompt.push_str(answer);
                prompt.push_str(&parts.fewshot_delimiter);
            }
        }
        Ok(())
    }

    /// An example's answer as text: the choice that an index names, the first of a list, the text itself.
    fn answer_text(
        &self,
        target: &Value,
        choices: Option<&[String]>,
        doc: &Doc,
    ) -> Result<Option<String>, TaskError> {
        if let (Some(choices), Some(index)) = (choices, index_of(target)) {
            return match choice_at(choices, index) {
                Some(at) => Ok(Some(choices[at].clone())),
                None => {
                    let message = format!("the answer is {index}, but there are {} choices", choices.len());
                    Err(self.error("doc_to_target", doc, &message))
                }
            };
        }
        Ok(match target.kind() {
            ValueKind::None | ValueKind::Undefined => None,
            ValueKind::Seq => {
                let first = target.try_iter().ok().and_then(|mut items| items.next());
                first.map(|v| text(&v).into_owned())
            }
            _ => Some(text(target).into_owned()),
        })
    }
}

/// A whole number, or a truth value, which is one to Python.
pub fn index_of(value: &Value) -> Option<i64> {
    match value.kind() {
        ValueKind::Bool => Some(i64::from(value.is_true())),
        ValueKind::Number => value.as_i64(),
        _ => None,
    }
}

/// Python's index: negative ones count from the end.
fn choice_at(choices: &[String], index: i64) -> Option<usize> {
    let count = i64::try_from(choices.len()).ok()?;
    usize::try_from(if index < 0 { index + count } else { index }).ok().filter(|at| *at < choices.len())
}

/// Whether neither side has whitespace where they meet.
fn needs_space(before: &str, after: &str) -> bool {
    match (before.chars().next_back(), after.chars().next()) {
        (Some(last), Some(first)) => !crate::python::is_space(last) && !crate::python::is_space(first),
        _ => false,
    }
}

struct Compiler<'a> {
    templates: Templates,
    columns: &'a [String],
    file: &'a str,
}

impl Compiler<'_> {
    fn parts(&mut self, turn: &Turn, keys: [&'static str; 4]) -> Result<Parts, TaskError> {
        Ok(Parts {
            text: self.part(turn.doc_to_text.as_ref(), keys[0])?,
            target: self.part(turn.doc_to_target.as_ref(), keys[1])?,
            choice: self.part(turn.doc_to_choice.as_ref(), keys[2])?,
            prefix: turn.gen_prefix.as_deref().map(|prefix| self.field(prefix, keys[3])).transpose()?,
            target_delimiter: turn.target_delimiter.clone(),
            fewshot_delimiter: turn.fewshot_delimiter.clone(),
        })
    }

    fn part(&mut self, doc_to: Option<&DocTo>, key: &'static str) -> Result<Option<Part>, TaskError> {
        let how = match doc_to {
            None => return Ok(None),
            Some(DocTo::Int(i)) => How::Int(*i),
            Some(DocTo::List(items)) => How::List(items.iter().map(|n| to_value(&n.value)).collect()),
            Some(DocTo::Text(source)) if self.columns.contains(source) => How::Column(source.clone()),
            Some(DocTo::Text(source)) => return self.template(source, key).map(Some),
        };
        Ok(Some(Part { key, how }))
    }

    /// A column's name if a row has it, else a template.
    fn field(&mut self, source: &str, key: &'static str) -> Result<Part, TaskError> {
        if source.contains('{') {
            return self.template(source, key);
        }
        Ok(Part { key, how: How::ColumnIfThere(source.to_owned()) })
    }

    fn template(&mut self, source: &str, key: &'static str) -> Result<Part, TaskError> {
        if source.contains('{') {
            self.templates
                .add(key, source)
                .map_err(|e| TaskError::new(format!("{}: {key}: {}", self.file, e.message)))?;
            return Ok(Part { key, how: How::Template });
        }
        // A word that is nearly a column is a slip, not a prompt of that one word.
        let word = source.chars().all(|c| c.is_alphanumeric() || c == '_') && source.len() > 3;
        let near = if word {
            loadline_core::suggest::nearest(source, self.columns.iter().map(String::as_str))
        } else {
            None
        };
        if let Some(meant) = near {
            let list = one_line(&self.columns.join(", "), 300);
            let message = format!("{}: {key}: `{source}` is not a column (columns: {list})", self.file);
            return Err(TaskError::new(message).with_hint(format!("did you mean `{meant}`?")));
        }
        Ok(Part { key, how: How::Literal(source.to_owned()) })
    }
}

/// The examples that a task file has itself.
pub fn written_examples(fewshot: &Fewshot) -> Option<Vec<Value>> {
    fewshot.samples.as_ref().map(|samples| samples.iter().map(|n: &Node| to_value(&n.value)).collect())
}

fn to_value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::from(()),
        Yaml::Bool(b) => (*b).into(),
        Yaml::Int(i) => (*i).into(),
        Yaml::Float(f) => (*f).into(),
        Yaml::Str(s) | Yaml::Function(s) => Value::from(&**s),
        Yaml::Seq(items) => items.iter().map(|n| to_value(&n.value)).collect(),
        Yaml::Map(entries) => {
            Value::from_pairs(entries.iter().map(|(k, v)| (to_value(&k.value), to_value(&v.value))))
        }
    }
}
