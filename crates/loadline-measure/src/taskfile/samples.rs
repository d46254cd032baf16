//! A task file's samples, made row by row.

use std::sync::Arc;

use loadline_core::Sample;
use loadline_core::model::{Generate, Loglikelihood, Prompt, Request, Rolling};
use loadline_core::untrusted::one_line;
use minijinja::Value;
use minijinja::value::ValueKind;

use super::config::{OutputType, TaskConfig};
use super::examples::{Draw, Pool};
use super::prompt::{Doc, Prompter, Question, index_of};
use crate::dataset::{Dataset, Row};
use crate::task::{SampleSource, TaskError};
use crate::template::text;

/// The key under which a sample carries its row's choices for `multi_choice_regex`.
pub const CHOICES: &str = "choices";

/// Everything that samples are made with.
pub struct FileSamples {
    pub config: Arc<TaskConfig>,
    pub prompter: Prompter,
    pub data: Dataset,
    pub pool: Option<Pool>,
    pub seed: u64,
    /// Whether the answer key of the first row is a list: then any entry of a list counts, else a list is a text.
    pub any_target: bool,
    /// For messages: the task file.
    pub file: String,
}

impl SampleSource for FileSamples {
    fn len(&self) -> u64 {
        self.data.len()
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Result<Sample, TaskError>> + Send + '_> {
        let mut draw = self.pool.as_ref().map(|pool| pool.draw(self.seed));
        let rows = self.data.rows().enumerate();
        Box::new(rows.map(move |(index, row)| self.sample(index, row?, draw.as_mut())))
    }
}

/// A row as a document to be asked.
pub fn doc(index: usize, row: Row, what: &str) -> Doc {
    Doc { value: row.value, name: format!("{what} {index}").into(), place: row.place.to_string().into() }
}

impl FileSamples {
    fn sample(&self, index: usize, row: Row, draw: Option<&mut Draw<'_>>) -> Result<Sample, TaskError> {
        let doc = doc(index, row, "sample");
        let id = index.to_string();
        if self.config.output_type == OutputType::LoglikelihoodRolling {
            let text = self.target_text(&self.prompter.answer(&doc)?, &doc)?;
            return Ok(plain(id, Request::Rolling(Rolling { text }), Vec::new()));
        }
        let question = self.prompter.question(&doc)?;
        let examples = match draw {
            Some(draw) => draw.next(&doc.value).ok_or_else(|| self.too_few(&doc))?,
            None => Vec::new(),
        };
        let context = self.prompter.context(&doc, &question, examples.into_iter())?;
        let context = Prompt::Text(context);
        match self.config.output_type {
            OutputType::MultipleChoice => self.choice_sample(id, context, &question, &doc),
            OutputType::Loglikelihood => {
                let target = self.target_text(&question.target, &doc)?;
                let request = Loglikelihood { context, continuations: vec![target.clone()] };
                Ok(plain(id, Request::Loglikelihood(request), vec![target]))
            }
            _ => self.written_sample(id, context, &question, &doc),
        }
    }

    fn error(&self, doc: &Doc, message: &str) -> TaskError {
        TaskError::new(format!("{}: {} ({}): {message}", self.file, doc.name, doc.place))
    }

    fn too_few(&self, doc: &Doc) -> TaskError {
        let count = self.config.fewshot.count;
        self.error(
            doc,
            &format!("there are not {count} few-shot examples that differ from the sample itself"),
        )
        .with_hint("lower num_fewshot, or give the examples a split of their own")
    }

    fn target_text(&self, target: &Value, doc: &Doc) -> Result<String, TaskError> {
        match target.kind() {
            ValueKind::String | ValueKind::Number => Ok(text(target).into_owned()),
            kind => Err(self.error(doc, &format!("doc_to_target must be a text here, this is {kind}"))),
        }
    }

    fn choice_sample(
        &self,
        id: String,
        context: Prompt,
        question: &Question,
        doc: &Doc,
    ) -> Result<Sample, TaskError> {
        let choices = question.choices.as_deref().unwrap_or_default();
        if choices.is_empty() {
            return Err(self.error(doc, "there are no choices"));
        }
        let delimiter = &self.config.turn.target_delimiter;
        let continuations = choices.iter().map(|c| format!("{delimiter}{c}")).collect();
        let request = Request::Loglikelihood(Loglikelihood { context, continuations });
        let golds: Vec<usize> = match question.target.try_iter() {
            Ok(items) if question.target.kind() == ValueKind::Seq => {
                items.filter_map(|item| gold(&item, choices)).collect()
            }
            _ => gold(&question.target, choices).into_iter().collect(),
        };
        if golds.len() > 1 || self.any_target {
            self.refuse_twins(doc, choices, &golds)?;
        }
        let mut sample = plain(id, request, golds.iter().map(|g| choices[*g].clone()).collect());
        if let ([only], false) = (golds.as_slice(), self.any_target) {
            sample.gold = Some(*only);
        }
        Ok(sample)
    }

    /// Several right choices are kept by their texts. A wrong choice of the same text could not be told from them, nor
    /// by its log-likelihood.
    fn refuse_twins(&self, doc: &Doc, choices: &[String], golds: &[usize]) -> Result<(), TaskError> {
        let is_gold_text = |choice: &String| golds.iter().any(|gold| choices[*gold] == *choice);
        let twin = (0..choices.len()).find(|at| !golds.contains(at) && is_gold_text(&choices[*at]));
        let Some(twin) = twin else { return Ok(()) };
        let shown = one_line(&choices[twin], 60);
        let error =
            self.error(doc, &format!("the choice `{shown}` is there twice, once as right and once as wrong"));
        Err(error.with_hint("give each choice a text of its own, or name both as right"))
    }

    fn written_sample(
        &self,
        id: String,
        prompt: Prompt,
        question: &Question,
        doc: &Doc,
    ) -> Result<Sample, TaskError> {
        let request = Request::Generate(Generate { prompt, sampling: self.config.sampling.clone() });
        let target = &question.target;
        let targets = match (&question.choices, index_of(target)) {
            (Some(choices), Some(_)) => match gold(target, choices) {
                Some(gold) => vec![choices[gold].clone()],
                None => {
                    let shown = one_line(&text(target), 60);
                    let message =
                        format!("doc_to_target is {shown}, but there are {} choices", choices.len());
                    return Err(self.error(doc, &message));
                }
            },
            _ if self.any_target && target.kind() == ValueKind::Seq => match target.try_iter() {
                Ok(items) => items.map(|item| text(&item).into_owned()).collect(),
                Err(e) => return Err(self.error(doc, &e.to_string())),
            },
            _ => vec![text(target).into_owned()],
        };
        let mut sample = plain(id, request, targets);
        if self.config.pipelines.iter().any(crate::filter::Pipeline::needs_choices) {
            sample.metadata.insert(CHOICES.to_owned(), self.row_choices(doc)?);
        }
        Ok(sample)
    }

    /// `doc["choices"]`, which `multi_choice_regex` looks into.
    fn row_choices(&self, doc: &Doc) -> Result<serde_json::Value, TaskError> {
        let choices = doc.value.get_attr(CHOICES).unwrap_or_default();
        if choices.kind() != ValueKind::Seq {
            let known = crate::template::columns(&doc.value).join(", ");
            let message = format!(
                "the filter multi_choice_regex needs a column `choices` with a list (columns: {})",
                one_line(&known, 300)
            );
            return Err(self.error(doc, &message));
        }
        let items = choices.try_iter().map_err(|e| self.error(doc, &e.to_string()))?;
        Ok(items.map(|item| serde_json::Value::from(&*text(&item))).collect())
    }
}

/// The index of the right choice: an index as it is, a text by the first choice that equals it.
fn gold(target: &Value, choices: &[String]) -> Option<usize> {
    match index_of(target) {
        Some(index) => usize::try_from(index).ok().filter(|i| *i < choices.len()),
        None => {
            let target = target.as_str()?;
            choices.iter().position(|choice| choice == target)
        }
    }
}

fn plain(id: String, input: Request, target: Vec<String>) -> Sample {
    Sample { id, input, target, gold: None, cluster: None, metadata: serde_json::Map::new() }
}
