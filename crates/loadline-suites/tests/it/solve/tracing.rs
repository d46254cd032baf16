//! An interpreter for the part of Python that the programs use. It works on the text line by line.

use std::collections::HashMap;

#[derive(Clone, Debug)]
enum Value {
    Number(i64),
    List(Vec<i64>),
}

struct Function {
    params: Vec<String>,
    /// First line of the body and the line behind it.
    body: (usize, usize),
}

struct Machine<'a> {
    lines: Vec<(usize, &'a str)>,
    functions: HashMap<String, Function>,
    printed: Vec<i64>,
    steps: usize,
}

type Scope = HashMap<String, Value>;

pub fn solve(prompt: &str) -> i64 {
    let code = prompt.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    run(code)
}

pub fn run(code: &str) -> i64 {
    let lines: Vec<(usize, &str)> = code
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .collect();
    let end = lines.len();
    let mut machine = Machine { lines, functions: HashMap::new(), printed: Vec::new(), steps: 0 };
    machine.block(0, end, &mut Scope::new());
    assert_eq!(machine.printed.len(), 1, "{code}");
    machine.printed[0]
}

impl Machine<'_> {
    /// The line behind the block that the line at `head` opens.
    fn block_end(&self, head: usize) -> usize {
        let depth = self.lines[head].0;
        (head + 1..self.lines.len()).find(|i| self.lines[*i].0 <= depth).unwrap_or(self.lines.len())
    }

    /// Runs lines; gives what `return` gives.
    fn block(&mut self, from: usize, to: usize, scope: &mut Scope) -> Option<i64> {
        let mut at = from;
        while at < to {
            self.steps += 1;
            assert!(self.steps < 100_000, "does not end");
            let line = self.lines[at].1;
            let end = self.block_end(at);
            let head = |word: &str| line.strip_prefix(word).and_then(|rest| rest.strip_suffix(':'));
            let mut next = at + 1;
            if let Some(head) = head("def ") {
                let (name, params) = head.trim_end_matches(')').split_once('(').unwrap();
                let params = params.split(", ").map(str::to_owned).collect();
                self.functions.insert(name.to_owned(), Function { params, body: (at + 1, end) });
                next = end;
            } else if let Some(cond) = head("if ") {
                next = end;
                let other = (next < to && self.lines[next].1 == "else:").then(|| self.block_end(next));
                if self.holds(cond, scope) {
                    self.block(at + 1, end, scope);
                } else if let Some(other) = other {
                    self.block(end + 1, other, scope);
                }
                next = other.unwrap_or(next);
            } else if let Some(head) = head("for ") {
                let (name, over) = head.split_once(" in ").unwrap();
                for value in self.range(over, scope) {
                    scope.insert(name.to_owned(), Value::Number(value));
                    self.block(at + 1, end, scope);
                }
                next = end;
            } else if let Some(cond) = head("while ") {
                while self.holds(cond, scope) {
                    self.block(at + 1, end, scope);
                }
                next = end;
            } else if let Some(value) = line.strip_prefix("return ") {
                return Some(self.value(value, scope));
            } else if let Some(value) = line.strip_prefix("print(") {
                let value = self.value(value.strip_suffix(')').unwrap(), scope);
                self.printed.push(value);
            } else {
                self.assign(line, scope);
            }
            at = next;
        }
        None
    }

    fn range(&mut self, over: &str, scope: &mut Scope) -> Vec<i64> {
        match over.strip_prefix("range(") {
            Some(bounds) => {
                let (from, to) = bounds.strip_suffix(')').unwrap().split_once(", ").unwrap();
                (self.value(from, scope)..self.value(to, scope)).collect()
            }
            None => match &scope[over] {
                Value::List(list) => list.clone(),
                Value::Number(_) => panic!("{over} is no list"),
            },
        }
    }

    fn assign(&mut self, line: &str, scope: &mut Scope) {
        if let Some((name, value)) = line.split_once(" += ") {
            let value = self.value(name, scope) + self.value(value, scope);
            scope.insert(name.to_owned(), Value::Number(value));
            return;
        }
        let (target, value) = line.split_once(" = ").unwrap();
        if let Some(list) = value.strip_prefix('[') {
            let list = list.strip_suffix(']').unwrap().split(", ").map(|n| n.parse().unwrap()).collect();
            scope.insert(target.to_owned(), Value::List(list));
            return;
        }
        let value = self.value(value, scope);
        if let Some((name, at)) = target.split_once('[') {
            let at = usize::try_from(self.value(at.strip_suffix(']').unwrap(), scope)).unwrap();
            match scope.get_mut(name).unwrap() {
                Value::List(list) => list[at] = value,
                Value::Number(_) => panic!("{name} is no list"),
            }
        } else {
            scope.insert(target.to_owned(), Value::Number(value));
        }
    }

    fn holds(&mut self, cond: &str, scope: &mut Scope) -> bool {
        for op in [" == ", " < ", " > "] {
            if let Some((left, right)) = cond.split_once(op) {
                let (left, right) = (self.value(left, scope), self.value(right, scope));
                return match op {
                    " == " => left == right,
                    " < " => left < right,
                    _ => left > right,
                };
            }
        }
        panic!("no condition: {cond}");
    }

    fn value(&mut self, text: &str, scope: &mut Scope) -> i64 {
        let mut tokens: Vec<String> = tokens(text);
        tokens.reverse();
        let value = self.sum(&mut tokens, scope);
        assert!(tokens.is_empty(), "left over in {text}: {tokens:?}");
        value
    }

    fn sum(&mut self, tokens: &mut Vec<String>, scope: &mut Scope) -> i64 {
        let mut value = self.term(tokens, scope);
        while let Some(op) = tokens.pop_if(|token| matches!(token.as_str(), "+" | "-")) {
            let right = self.term(tokens, scope);
            value = if op == "+" { value + right } else { value - right };
        }
        value
    }

    fn term(&mut self, tokens: &mut Vec<String>, scope: &mut Scope) -> i64 {
        let mut value = self.atom(tokens, scope);
        while let Some(op) = tokens.pop_if(|token| matches!(token.as_str(), "*" | "//" | "%")) {
            let right = self.atom(tokens, scope);
            // Python rounds down.
            let floor = (value - value.rem_euclid(right)) / right;
            value = match op.as_str() {
                "*" => value * right,
                "//" => floor,
                _ => value - right * floor,
            };
        }
        value
    }

    fn atom(&mut self, tokens: &mut Vec<String>, scope: &mut Scope) -> i64 {
        let token = tokens.pop().unwrap();
        if token == "(" {
            let value = self.sum(tokens, scope);
            assert_eq!(tokens.pop().as_deref(), Some(")"));
            return value;
        }
        if let Ok(number) = token.parse() {
            return number;
        }
        match tokens.last().map(String::as_str) {
            Some("[") => {
                tokens.pop();
                let at = usize::try_from(self.sum(tokens, scope)).unwrap();
                assert_eq!(tokens.pop().as_deref(), Some("]"));
                match &scope[&token] {
                    Value::List(list) => list[at],
                    Value::Number(_) => panic!("{token} is no list"),
                }
            }
            Some("(") => {
                tokens.pop();
                let first = self.sum(tokens, scope);
                assert_eq!(tokens.pop().as_deref(), Some(","));
                let second = self.sum(tokens, scope);
                assert_eq!(tokens.pop().as_deref(), Some(")"));
                let function = &self.functions[&token];
                let (from, to) = function.body;
                let mut local: Scope =
                    function.params.iter().cloned().zip([first, second].map(Value::Number)).collect();
                self.block(from, to, &mut local).unwrap()
            }
            _ => match &scope[&token] {
                Value::Number(number) => *number,
                Value::List(_) => panic!("{token} is a list"),
            },
        }
    }
}

fn tokens(text: &str) -> Vec<String> {
    let mut spaced = text.replace("//", " // ");
    for symbol in ['(', ')', '[', ']', ',', '+', '-', '*', '%'] {
        spaced = spaced.replace(symbol, &format!(" {symbol} "));
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}
