//! The canonical conformance filters for Proxy-Wasm in Rust; `config: { case: NAME }` chooses one.
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use std::time::Duration;

const CASES: [&str; 7] = ["add-header", "local-reply", "pause-resume", "rewrite-body", "trailers", "throw", "run-away"];

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root { case: "" }) });
}}

struct Root {
    case: &'static str,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        let config = String::from_utf8_lossy(&config).into_owned();
        match CASES.iter().find(|name| config.contains(&format!("\"case\":\"{}\"", name))) {
            Some(name) => self.case = name,
            None => return false,
        }
        true
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Canonical { case: self.case }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Canonical {
    case: &'static str,
}

impl Context for Canonical {
    fn on_http_call_response(&mut self, _id: u32, _headers: usize, _body: usize, _trailers: usize) {
        let status = self.get_http_call_response_header(":status");
        self.set_http_request_header("x-checked", Some(status.as_deref().unwrap_or("none")));
        self.resume_http_request();
    }
}

impl HttpContext for Canonical {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        match self.case {
            "add-header" => self.add_http_request_header("x-request-mark", "seen"),
            "local-reply" if self.get_http_request_header("user").as_deref() != Some("admin") => {
                self.send_http_response(403, vec![("x-reason", "not admin")], Some(b"denied"));
                return Action::Pause;
            }
            "pause-resume" => {
                let headers = vec![(":method", "GET"), (":path", "/check"), (":authority", "aux")];
                self.dispatch_http_call("aux", headers, None, vec![], Duration::from_secs(5)).unwrap();
                return Action::Pause;
            }
            "throw" => panic!("thrown on purpose"),
            "run-away" => {
                let mut n = 0u32;
                while n < u32::MAX {
                    n = n.wrapping_add(2);
                    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
                }
            }
            _ => {}
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if self.case == "rewrite-body" {
            if !end {
                return Action::Pause;
            }
            if let Some(body) = self.get_http_request_body(0, size) {
                self.set_http_request_body(0, size, &body.to_ascii_uppercase());
            }
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        if self.case == "trailers" {
            self.add_http_request_trailer("x-request-mark", "seen");
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        if self.case == "add-header" || self.case == "local-reply" {
            self.add_http_response_header("x-response-mark", "seen");
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        if self.case == "rewrite-body" {
            if let Some(body) = self.get_http_response_body(0, size) {
                self.set_http_response_body(0, size, &body.to_ascii_uppercase());
            }
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        if self.case == "trailers" {
            self.add_http_response_trailer("x-response-mark", "seen");
        }
        Action::Continue
    }
}
