//! Lets requests pass that have the header `user` with the configured value (default: admin); others get 403.
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root { user: Rc::from("admin") }) });
}}

struct Root {
    user: Rc<str>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        if let Some(bytes) = self.get_plugin_configuration() {
            match std::str::from_utf8(&bytes) {
                Ok(user) => self.user = Rc::from(user.trim()),
                Err(_) => return false,
            }
        }
        true
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Auth { user: self.user.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Auth {
    user: Rc<str>,
}

impl Context for Auth {}

impl HttpContext for Auth {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.get_http_request_header("user").as_deref() == Some(&*self.user) {
            return Action::Continue;
        }
        self.send_http_response(403, vec![], Some(b"forbidden\n"));
        Action::Pause
    }
}
