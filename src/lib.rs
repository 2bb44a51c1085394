//! Secret references for OpenResty/nginx and Kong Gateway.

pub mod backend;
pub mod cache;
pub mod config;
pub mod document;
pub mod environment;
pub mod error;
pub mod options;
pub mod reference;
pub mod secret;
pub mod settings;
