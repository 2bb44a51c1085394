//! stub

use crate::backend::{Backend, Descriptor, Setup};
use crate::error::Result;
use std::sync::Arc;

pub const DESCRIPTOR: Descriptor = Descriptor { name: "aws", title: "aws", options: &[], immediate: false, build };

fn build(_setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    todo!()
}
