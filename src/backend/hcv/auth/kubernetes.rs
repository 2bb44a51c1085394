//! `kubernetes`: the token of the pod's service account, which the kubelet writes and renews.

use std::path::PathBuf;

use super::files;
use super::method::{AuthContext, LoginRequest, Method, PreparingLogin};
use super::params::{login_path, role};
use crate::backend::hcv::api::object;
use crate::error::{Error, Kind, Result};

pub struct Kubernetes {
    label: String,
    path: String,
    role: String,
    file: PathBuf,
}

impl Kubernetes {
    pub fn new(context: &AuthContext<'_>) -> Result<Self> {
        Ok(Self {
            label: context.api.label.clone(),
            path: login_path(context, "kube_auth_path")?,
            role: role(context, "kube_role"),
            file: PathBuf::from(role(context, "kube_api_token_file")),
        })
    }
}

impl Method for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn remedy(&self) -> &'static str {
        "check `kube_role`, the service accounts and namespaces that the role is bound to, and the audience of the token \
         in `kube_api_token_file`"
    }

    fn login_request(&self) -> PreparingLogin<'_> {
        Box::pin(async {
            // The kubelet renews it, so it is read for each login.
            let (jwt, _) = files::read_text(&self.file).await.map_err(|clause| {
                let text = format!("{}: no service account token: `kube_api_token_file` {clause}", self.label);
                Error::new(Kind::Config, text)
            })?;
            let jwt = jwt.as_str().unwrap_or_default();
            Ok(LoginRequest { path: self.path.clone(), body: object(&[("role", &self.role), ("jwt", jwt)]) })
        })
    }
}
