//! Replaces a text in response bodies, also where pieces of the body cut it in two. The configuration is `TEXT=REPLACEMENT`.
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root { rule: Rc::default() }) });
}}

#[derive(Default)]
struct Rule {
    text: Vec<u8>,
    replacement: Vec<u8>,
}

struct Root {
    rule: Rc<Rule>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        let at = match config.iter().position(|byte| *byte == b'=') {
            Some(at) if at > 0 => at,
            _ => {
                log::error!("the configuration must be TEXT=REPLACEMENT");
                return false;
            }
        };
        self.rule = Rc::new(Rule { text: config[..at].to_vec(), replacement: config[at + 1..].to_vec() });
        true
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Rewrite { rule: self.rule.clone(), kept: Vec::new() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Rewrite {
    rule: Rc<Rule>,
    /// The end of the last piece, which may be the beginning of the text.
    kept: Vec<u8>,
}

impl Context for Rewrite {}

impl HttpContext for Rewrite {
    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        // The body's length may change.
        self.set_http_response_header("content-length", None);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        let mut input = std::mem::take(&mut self.kept);
        if let Some(piece) = self.get_http_response_body(0, size) {
            input.extend_from_slice(&piece);
        }
        let Rule { text, replacement } = &*self.rule;
        let mut output = Vec::with_capacity(input.len());
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            if rest.starts_with(text) {
                output.extend_from_slice(replacement);
                at += text.len();
            } else if !end && rest.len() < text.len() && text.starts_with(rest) {
                self.kept = rest.to_vec();
                break;
            } else {
                output.push(rest[0]);
                at += 1;
            }
        }
        self.set_http_response_body(0, size, &output);
        Action::Continue
    }
}
