//! From a conversation to the text that the model was tuned on, by the template in the file.

use loadline_core::model::Message;
use minijinja::{Environment, Error, ErrorKind, Value, context};

/// The date that templates are told is today: a prompt must be the same bytes on every day. It is the one that
/// Llama 3 templates fall back to by themselves.
const TODAY: [(&str, &str); 9] = [
    ("%d", "26"),
    ("%b", "Jul"),
    ("%B", "July"),
    ("%Y", "2024"),
    ("%m", "07"),
    ("%y", "24"),
    ("%A", "Friday"),
    ("%a", "Fri"),
    ("%H:%M:%S", "00:00:00"),
];

/// Steps that a template may take.
const FUEL: u64 = 20_000_000;

/// The chat template of a file, in the jinja dialect that model files use.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Reads a template; `bos` and `eos` are the texts of those tokens.
    ///
    /// # Errors
    /// What is wrong with the template, with the line.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(describe)?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: String| {
            TODAY.iter().fold(format, |text, (pattern, value)| text.replace(pattern, value))
        });
        environment.add_filter("tojson", to_json);
        environment.add_template_owned("chat", source.to_owned()).map_err(describe)?;
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The text of a conversation, up to where the model is to answer.
    ///
    /// # Errors
    /// What the template says is wrong with the conversation, or where it failed.
    pub fn render(&self, messages: &[Message]) -> Result<String, String> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|m| context! { role => m.role.name(), content => m.content.as_str() })
            .collect();
        let variables = context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        self.environment
            .get_template("chat")
            .and_then(|template| template.render(variables))
            .map_err(describe)
    }
}

/// A conversation for a model without a template: each message's text, followed by a line break.
pub fn plain(messages: &[Message]) -> String {
    messages.iter().map(|message| format!("{}\n", message.content)).collect()
}

/// JSON as Python's `json.dumps(…, ensure_ascii=False)` writes it, with `indent` where the template asks for it.
fn to_json(value: Value, indent: Option<usize>) -> Result<String, Error> {
    let fail = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut text = Vec::new();
    let json = serde_json::to_value(&value).map_err(fail)?;
    let spaces = vec![b' '; indent.unwrap_or(0).min(16)];
    let result = if indent.is_some() {
        let pretty = serde_json::ser::PrettyFormatter::with_indent(&spaces);
        serde::Serialize::serialize(&json, &mut serde_json::Serializer::with_formatter(&mut text, pretty))
    } else {
        serde::Serialize::serialize(
            &json,
            &mut serde_json::Serializer::with_formatter(&mut text, PythonStyle),
        )
    };
    result.map_err(fail)?;
    String::from_utf8(text).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Python puts a space after `,` and `:`.
struct PythonStyle;

impl serde_json::ser::Formatter for PythonStyle {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// An error of the template, on one line.
fn describe(error: Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!(" (line {line} of the template)"));
    let text = match error.detail() {
        Some(detail) if error.kind() == ErrorKind::InvalidOperation => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    format!("{}{line}", loadline_core::untrusted::one_line(&text, 200))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadline_core::model::Role;

    fn message(role: Role, content: &str) -> Message {
        Message { role, content: content.to_owned() }
    }

    #[test]
    fn a_conversation_goes_through_the_template() {
        let source = "{{ bos_token }}{% for m in messages %}\n    <{{ m.role }}>{{ m['content'].strip() }}</>\n\
                      {% endfor %}\n{% if add_generation_prompt %}<assistant>{% endif %}";
        let template = ChatTemplate::new(source, "<s>", "</s>").unwrap();
        let text = template.render(&[message(Role::System, "be brief "), message(Role::User, "hi")]).unwrap();
        assert_eq!(text, "<s>    <system>be brief</>\n    <user>hi</>\n<assistant>");
    }

    #[test]
    fn what_the_template_refuses_is_said() {
        let source =
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}";
        let template = ChatTemplate::new(source, "", "").unwrap();
        let error = template.render(&[message(Role::System, "x")]).unwrap_err();
        assert_eq!(error, "no system role (line 1 of the template)");
    }

    #[test]
    fn a_broken_template_says_where() {
        let error = ChatTemplate::new("a\n{% for %}", "", "").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_template_that_never_ends_is_stopped() {
        let source = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
        assert!(ChatTemplate::new(source, "", "").unwrap().render(&[]).is_err());
    }

    #[test]
    fn today_is_always_the_same_day() {
        let template = ChatTemplate::new("{{ strftime_now('%d %b %Y') }}", "", "").unwrap();
        assert_eq!(template.render(&[]).unwrap(), "26 Jul 2024");
    }

    #[test]
    fn json_is_written_as_python_does() {
        let source = "{{ messages | tojson }}";
        let template = ChatTemplate::new(source, "", "").unwrap();
        let text = template.render(&[message(Role::User, "<ä> & 'b'")]).unwrap();
        assert!(text.contains(r#""content": "<ä> & 'b'""#), "{text}");
        assert!(text.contains(r#", "role": "user""#) || text.contains(r#""role": "user", "#), "{text}");
    }

    #[test]
    fn without_a_template_a_conversation_is_its_text() {
        assert_eq!(plain(&[message(Role::System, "a"), message(Role::User, "b")]), "a\nb\n");
    }
}
