//! What the host asks for over COM1: the driver as a service, requests to it, a script of them.

pub mod control;
pub mod framework;
pub mod script;
pub mod service;
