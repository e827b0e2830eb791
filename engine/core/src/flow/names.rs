//! What templates and expressions speak of: the names in them, each with its place in the text. Nothing is rendered
//! here; what a name means is judged in `flow::check`.

use std::sync::LazyLock;

use minijinja::machinery::{Span, ast, parse, parse_expr};
use minijinja::syntax::SyntaxConfig;

use crate::schema::{TextKind, has_template};

/// Comments of templates get signs that no script holds.
static SHELL: LazyLock<SyntaxConfig> = LazyLock::new(|| {
    let mut syntax = SyntaxConfig::builder();
    syntax.comment_delimiters("{#\u{fdd0}", "\u{fdd0}#}");
    syntax.build().expect("the delimiters differ")
});

/// A name in a template or expression, in bytes of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) what: What,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// What is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A value: the name it begins with and what is looked up in it, as far as that is written out. `jobs['a-b'].x`
    /// is `jobs`, `a-b`, `x`.
    Value(Vec<String>),
    /// A function, and its first argument where that is a text written out.
    Call(String, Option<String>),
    /// A filter.
    Filter(String),
    /// A test, as in `x is even`.
    Test(String),
}

/// A template or expression that can't be read, in bytes of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// The names in a template. In a shell script there are no comments: `${#name}` is a length there.
pub(crate) fn of_template(text: &str, kind: TextKind) -> Result<Vec<Mention>, Broken> {
    let has_comment = kind != TextKind::Shell && text.contains("{#");
    if !has_template(text) && !has_comment {
        return Ok(Vec::new());
    }
    let syntax = if kind == TextKind::Shell { SHELL.clone() } else { SyntaxConfig::default() };
    let tree = parse(text, "text", syntax).map_err(|error| broken(text, &error, 0))?;
    let mut walk = Walk { text, base: 0, found: Vec::new(), bound: vec![Vec::new()] };
    walk.statement(&tree);
    Ok(walk.found)
}

/// The names in an expression, and its truth if it is always the same. Braces around the whole are allowed.
pub(crate) fn of_expression(text: &str) -> Result<(Vec<Mention>, Option<bool>), Broken> {
    let (inner, base) = bare_expression(text);
    let tree = parse_expr(inner).map_err(|error| broken(inner, &error, base))?;
    let mut walk = Walk { text: inner, base, found: Vec::new(), bound: vec![Vec::new()] };
    walk.expression(&tree);
    Ok((walk.found, tree.as_const().map(|value| value.is_true())))
}

/// An expression without the braces around it, and the byte it begins at. What is written as `{{ x }}` where an
/// expression is expected means `x`.
pub(crate) fn bare_expression(text: &str) -> (&str, usize) {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let inner = inner.filter(|inner| !inner.contains("{{")).unwrap_or(trimmed).trim();
    (inner, inner.as_ptr() as usize - text.as_ptr() as usize)
}

fn broken(text: &str, error: &minijinja::Error, base: usize) -> Broken {
    let range = error.range().unwrap_or(0..text.len());
    let from = range.start.min(text.len());
    let to = range.end.clamp(from, text.len());
    let marked = text.get(from..to).unwrap_or("");
    let reason = error.detail().unwrap_or("it can't be read").to_lowercase();
    let help = if reason.contains("end of comment") || marked.starts_with("{#") {
        "`{#` begins a comment that ends with `#}`; where the sign itself is meant, write {{ '{#' }}"
    } else if marked.starts_with('.') && text[..from].trim_end().ends_with("{{") {
        "put `{% raw %}` and `{% endraw %}` around braces that are meant for another program"
    } else if reason.contains("end of") || reason.contains("unexpected end") {
        "close each `{{` with `}}`, each `{%` with `%}`, each bracket and each quote; end `if` and `for` with `endif` and `endfor`"
    } else if text.contains("&&") || text.contains("||") || marked == "!" {
        "write `and`, `or` and `not`"
    } else if marked == "=" || reason.contains("`=`") {
        "write `==` to compare"
    } else {
        "write names, texts in quotes, and `and`, `or`, `not`, `==` between them, such as `params.x == 'a'`"
    };
    Broken { from: from + base, to: to + base, message: reason, help: help.to_owned() }
}

struct Walk<'a> {
    text: &'a str,
    base: usize,
    found: Vec<Mention>,
    /// Names that the template itself gives a meaning, by scope.
    bound: Vec<Vec<String>>,
}

impl Walk<'_> {
    fn statements(&mut self, statements: &[ast::Stmt<'_>]) {
        self.bound.push(Vec::new());
        for statement in statements {
            self.statement(statement);
        }
        self.bound.pop();
    }

    fn statement(&mut self, statement: &ast::Stmt<'_>) {
        match statement {
            ast::Stmt::Template(template) => {
                for child in &template.children {
                    self.statement(child);
                }
            }
            ast::Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            ast::Stmt::ForLoop(a_loop) => {
                self.expression(&a_loop.iter);
                self.bound.push(vec!["loop".to_owned()]);
                self.bind(&a_loop.target);
                self.maybe(a_loop.filter_expr.as_ref());
                self.statements(&a_loop.body);
                self.bound.pop();
                self.statements(&a_loop.else_body);
            }
            ast::Stmt::IfCond(condition) => {
                self.expression(&condition.expr);
                self.statements(&condition.true_body);
                self.statements(&condition.false_body);
            }
            ast::Stmt::WithBlock(block) => {
                self.bound.push(Vec::new());
                for (target, value) in &block.assignments {
                    self.expression(value);
                    self.bind(target);
                }
                self.statements(&block.body);
                self.bound.pop();
            }
            ast::Stmt::Set(set) => {
                self.expression(&set.expr);
                self.bind(&set.target);
            }
            ast::Stmt::SetBlock(set) => {
                self.maybe(set.filter.as_ref());
                self.statements(&set.body);
                self.bind(&set.target);
            }
            ast::Stmt::AutoEscape(block) => {
                self.expression(&block.enabled);
                self.statements(&block.body);
            }
            ast::Stmt::FilterBlock(block) => {
                self.expression(&block.filter);
                self.statements(&block.body);
            }
            ast::Stmt::Do(call) => self.call(&call.call, call.call.span()),
            ast::Stmt::EmitRaw(_) => {}
        }
    }

    fn maybe(&mut self, expression: Option<&ast::Expr<'_>>) {
        if let Some(expression) = expression {
            self.expression(expression);
        }
    }

    fn expression(&mut self, expression: &ast::Expr<'_>) {
        match expression {
            ast::Expr::Const(_) => {}
            ast::Expr::Var(_) | ast::Expr::GetAttr(_) | ast::Expr::GetItem(_) => {
                self.value(expression);
            }
            ast::Expr::Slice(slice) => {
                self.expression(&slice.expr);
                self.maybe(slice.start.as_ref());
                self.maybe(slice.stop.as_ref());
                self.maybe(slice.step.as_ref());
            }
            ast::Expr::UnaryOp(op) => self.expression(&op.expr),
            ast::Expr::BinOp(op) => {
                self.expression(&op.left);
                self.expression(&op.right);
            }
            ast::Expr::Compare(compare) => {
                self.expression(&compare.expr);
                for op in &compare.ops {
                    self.expression(&op.expr);
                }
            }
            ast::Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                self.maybe(choice.false_expr.as_ref());
            }
            ast::Expr::Filter(filter) => {
                self.maybe(filter.expr.as_ref());
                self.find_word(What::Filter(filter.name.to_owned()), filter.name, filter.span());
                self.arguments(&filter.args);
            }
            ast::Expr::Test(test) => {
                self.expression(&test.expr);
                self.find_word(What::Test(test.name.to_owned()), test.name, test.span());
                self.arguments(&test.args);
            }
            ast::Expr::Call(call) => self.call(call, call.span()),
            ast::Expr::List(list) => self.expressions(&list.items),
            ast::Expr::Tuple(tuple) => self.expressions(&tuple.items),
            ast::Expr::Map(map) => {
                self.expressions(&map.keys);
                self.expressions(&map.values);
            }
        }
    }

    fn expressions(&mut self, expressions: &[ast::Expr<'_>]) {
        for expression in expressions {
            self.expression(expression);
        }
    }

    fn arguments(&mut self, arguments: &[ast::CallArg<'_>]) {
        for argument in arguments {
            match argument {
                ast::CallArg::Pos(value)
                | ast::CallArg::Kwarg(_, value)
                | ast::CallArg::PosSplat(value)
                | ast::CallArg::KwargSplat(value) => self.expression(value),
            }
        }
    }

    fn call(&mut self, call: &ast::Call<'_>, span: Span) {
        if let ast::Expr::Var(function) = &call.expr {
            if !self.is_bound(function.id) {
                let first = match call.args.first() {
                    Some(ast::CallArg::Pos(ast::Expr::Const(text))) => {
                        text.value.as_str().map(str::to_owned)
                    }
                    Some(_) | None => None,
                };
                self.find(What::Call(function.id.to_owned(), first), function.span(), span);
            }
        } else {
            self.expression(&call.expr);
        }
        self.arguments(&call.args);
    }

    /// A variable and what is looked up in it.
    fn value(&mut self, expression: &ast::Expr<'_>) {
        let mut steps: Vec<Option<String>> = Vec::new();
        let mut inner = expression;
        let mut end = expression.span();
        loop {
            match inner {
                ast::Expr::Var(variable) => {
                    if !self.is_bound(variable.id) {
                        let written = steps.into_iter().rev().map_while(|step| step);
                        let path = std::iter::once(variable.id.to_owned()).chain(written).collect();
                        self.find(What::Value(path), variable.span(), end);
                    }
                    return;
                }
                ast::Expr::GetAttr(attribute) => {
                    steps.push(Some(attribute.name.to_owned()));
                    inner = &attribute.expr;
                }
                ast::Expr::GetItem(item) => {
                    let step = match &item.subscript_expr {
                        ast::Expr::Const(key) => key.value.as_str().map(str::to_owned),
                        subscript => {
                            self.expression(subscript);
                            None
                        }
                    };
                    if step.is_none() {
                        end = item.expr.span();
                    }
                    steps.push(step);
                    inner = &item.expr;
                }
                other => {
                    self.expression(other);
                    return;
                }
            }
        }
    }

    fn bind(&mut self, target: &ast::Expr<'_>) {
        match target {
            ast::Expr::Var(variable) => {
                if let Some(scope) = self.bound.last_mut() {
                    scope.push(variable.id.to_owned());
                }
            }
            ast::Expr::List(list) => list.items.iter().for_each(|item| self.bind(item)),
            ast::Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item)),
            other => self.expression(other),
        }
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().flatten().any(|bound| bound == name)
    }

    fn find(&mut self, what: What, first: Span, last: Span) {
        let from = first.start_offset as usize;
        let to = (last.end_offset as usize).max(from);
        self.found.push(Mention { what, from: from + self.base, to: to + self.base });
    }

    /// The name itself within the span of the whole.
    fn find_word(&mut self, what: What, word: &str, span: Span) {
        let (from, to) = (span.start_offset as usize, span.end_offset as usize);
        let at = self.text.get(from..to).and_then(|text| text.rfind(word)).unwrap_or(0);
        let from = from + at + self.base;
        self.found.push(Mention { what, from, to: from + word.len() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn names(text: &str) -> Vec<String> {
        let found = of_template(text, TextKind::Plain).expect("the template is right");
        found
            .iter()
            .map(|mention| format!("{:?} at {}", mention.what, &text[mention.from..mention.to]))
            .collect()
    }

    #[test]
    fn names_are_found_with_their_places() {
        insta::assert_debug_snapshot!(names(
            "a {{ params.x }} {{ jobs['a-b'].outputs.id | default(params.y) | raw }}{{ secret('key') }} {{ item[params.n].z is even }}"
        ), @r#"
        [
            "Value([\"params\", \"x\"]) at params.x",
            "Value([\"jobs\", \"a-b\", \"outputs\", \"id\"]) at jobs['a-b'].outputs.id",
            "Filter(\"default\") at default",
            "Value([\"params\", \"y\"]) at params.y",
            "Filter(\"raw\") at raw",
            "Call(\"secret\", Some(\"key\")) at secret('key')",
            "Value([\"params\", \"n\"]) at params.n",
            "Value([\"item\"]) at item",
            "Test(\"even\") at even",
        ]
        "#);
    }

    #[test]
    fn what_a_template_names_itself_is_not_asked_for() {
        insta::assert_debug_snapshot!(names(
            "{% set a = params.a %}{% for h in hosts('all') if h.x %}{{ h.name }}{{ loop.index }}{{ a }}{% endfor %}{{ h }}{% with b = a %}{{ b }}{% endwith %}{{ b }}"
        ), @r#"
        [
            "Value([\"params\", \"a\"]) at params.a",
            "Call(\"hosts\", Some(\"all\")) at hosts('all')",
            "Value([\"h\"]) at h",
            "Value([\"b\"]) at b",
        ]
        "#);
    }

    #[test]
    fn braces_around_an_expression_are_taken_off() {
        for (text, inner) in [
            ("params.x", "params.x"),
            (" {{ params.x }} ", "params.x"),
            ("{{ a }} and {{ b }}", "{{ a }} and {{ b }}"),
            ("{{a}}", "a"),
        ] {
            let (found, at) = bare_expression(text);
            assert_eq!(found, inner);
            assert_eq!(&text[at..at + found.len()], inner);
        }
    }

    #[test]
    fn an_expression_that_is_always_the_same_is_known() {
        for (text, truth) in [
            ("false", Some(false)),
            ("1 == 1", Some(true)),
            ("params.x", None),
            ("not true", Some(false)),
        ] {
            assert_eq!(of_expression(text).expect("it is right").1, truth, "{text}");
        }
    }
}
