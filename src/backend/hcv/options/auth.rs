//! How we prove who we are: the options of each method, by Kong's names and with its defaults.

use crate::backend::iam::{REGION, SESSION};
use crate::backend::{Needs, When};
use crate::options::{Holds, Opt, Type};

const METHODS: &[&str] = &[
    "token",
    "kubernetes",
    "approle",
    "cert",
    "jwt",
    "oauth2",
    "aws_iam",
    "aws_ec2",
    "gcp_iam",
    "gcp_gce",
    "azure",
    "userpass",
    "ldap",
];

/// By the names that OpenID Connect has for them.
const CLIENT_AUTH: &[&str] = &["client_secret_post", "client_secret_basic"];

/// What becomes a header.
const PRINTABLE: (&str, &str) = (r"[\x21-\x7e]+", "printable ASCII without spaces");

/// Where a method is mounted, or the whole path of its login.
const MOUNT: (&str, &str) = (r"[^\x00-\x1f\x7f]+", "a path such as team/approle or /v1/auth/approle/login");

const fn text(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Type::Text, help)
}

const fn secret(name: &'static str, help: &'static str) -> Opt {
    text(name, help).sensitive()
}

const fn mount(name: &'static str, default: &'static str, help: &'static str) -> Opt {
    text(name, help).default(default).pattern(MOUNT.0, MOUNT.1)
}

pub const OPTIONS: &[Opt] = &[
    text("auth_method", "how we prove who we are; `oauth2` is another name of `jwt`").default("token").one_of(METHODS),
    text("auth_namespace", "the namespace that the auth method is in, where it isn't `namespace`; `root` for none")
        .pattern(PRINTABLE.0, PRINTABLE.1),
    Opt::new("revoke_on_exit", Type::Boolean, "revoke the token of a login when the worker ends").default("false"),
    secret("token", "the token for `auth_method = token`; none where an agent adds its own")
        .pattern(PRINTABLE.0, PRINTABLE.1),
    Opt::new(
        "token_renew",
        Type::Boolean,
        "look `token` up, and renew it before it ends, as a periodic token needs it",
    )
    .default("false"),
    text("token_file", "a file with the token, as an agent writes it; read again when it changes").holds(Holds::File),
    text("kube_role", "the role to log in with"),
    mount("kube_auth_path", "kubernetes", "where the Kubernetes method is mounted"),
    text("kube_api_token_file", "the service account's token; read for each login")
        .default("/run/secrets/kubernetes.io/serviceaccount/token")
        .holds(Holds::File),
    mount("approle_auth_path", "approle", "where the AppRole method is mounted"),
    secret("approle_role_id", "the role's id"),
    secret("approle_secret_id", "the secret id, or the token that wraps it; none where the role has `bind_secret_id=false`"),
    text("approle_secret_id_file", "a file with the secret id, or with the token that wraps it; read for each login")
        .holds(Holds::File),
    Opt::new(
        "approle_response_wrapping",
        Type::Boolean,
        "the secret id is wrapped: what is given is a wrapping token, which can be opened once",
    )
    .default("false"),
    mount("cert_auth_path", "cert", "where the TLS certificate method is mounted"),
    text("cert_auth_role_name", "the certificate role; none: whichever the certificate fits"),
    text("cert_auth_cert", "the certificate to log in with: a file's path, or PEM text; none: `client_cert`")
        .holds(Holds::Pem),
    secret("cert_auth_cert_key", "its key: a file's path, or PEM text; none: it stands in `cert_auth_cert`"),
    mount("jwt_auth_path", "jwt", "where the JWT method is mounted"),
    text("jwt_role", "the role to log in with; none: the method's own default").aliases(&["oauth2_role_name"]),
    secret("jwt", "a JWT to log in with, where no identity provider is asked"),
    text("jwt_file", "a file with such a JWT; read for each login").holds(Holds::File),
    text("oauth2_token_endpoint", "where the identity provider gives tokens for client credentials").pattern(
        r"https?://[^\s/?#@\\]+(/[^\s?#@\\]*)?(\?[^\s#@\\]*)?",
        "a URL such as https://host/oauth2/token, without user and fragment",
    )
    .holds(Holds::Url),
    text("oauth2_client_id", "our id at the identity provider"),
    secret("oauth2_client_secret", "our secret at the identity provider"),
    text(
        "oauth2_client_auth",
        "how the identity provider is shown id and secret; none: in the form, and as HTTP Basic where that is refused as \
         `invalid_client`",
    )
    .one_of(CLIENT_AUTH),
    Opt::new("oauth2_audiences", Type::List, "whom the JWT is for").text_in_kong(),
    Opt::new("oauth2_scopes", Type::List, "the scopes to ask the identity provider for"),
    text(
        "oauth2_ca_cert",
        "a CA bundle for the identity provider in place of the system's: a file's path, or PEM text",
    )
    .holds(Holds::Pem)
    .guards(),
    text("aws_auth_role", "the role to log in with, for `aws_iam` and `aws_ec2`"),
    mount("aws_login_path", "/v1/auth/aws/login", "where the AWS method logs in"),
    text(
        "aws_auth_region",
        "the region whose STS `aws_iam` names: the one that the vault itself asks; none: `AWS_REGION`, \
         `AWS_DEFAULT_REGION`, then the profile's",
    )
    .pattern(REGION, "a region's name, such as us-east-1"),
    secret("aws_access_key_id", "the access key of `aws_iam`; none: the chain of sources that `aws` vaults have"),
    secret("aws_secret_access_key", "its secret key"),
    text("aws_assume_role_arn", "a role to assume with those credentials first").pattern(
        r"arn:[a-z0-9-]+:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}",
        "a role's ARN, such as arn:aws:iam::123456789012:role/gateway",
    ),
    text("aws_role_session_name", "the session's name in that role")
        .default(SESSION)
        .pattern(r"[\w+=,.@-]{2,64}", "2 to 64 letters, digits and +=,.@-_"),
    text("aws_sts_endpoint_url", "where STS is, for both; none: `AWS_ENDPOINT_URL_STS`, then the region's own")
        .pattern(
            r"https?://[^\s/?#@\\]+(/[^\s?#@\\]*)?",
            "a URL such as https://host, without user, query and fragment",
        )
        .holds(Holds::Url),
    text("aws_iam_server_id", "what the vault expects in the header X-Vault-AWS-IAM-Server-ID, where it does")
        .pattern(PRINTABLE.0, PRINTABLE.1)
        .guards(),
    secret("aws_auth_nonce", "the nonce of this instance's logins, for `aws_ec2`"),
    text("gcp_auth_role", "the role to log in with, for `gcp_iam` and `gcp_gce`"),
    mount("gcp_login_path", "/v1/auth/gcp/login", "where the Google Cloud method logs in"),
    text(
        "gcp_service_account",
        "who signs, for `gcp_iam`: a service account's address, or the path of its key's JSON; none: the account of the key \
         in `GCP_SERVICE_ACCOUNT` (JSON) or `GOOGLE_APPLICATION_CREDENTIALS` (a file), then the machine's own",
    )
    .pattern(r"[^\s{}]+", "a service account's address or a file's path")
    .holds(Holds::File),
    Opt::new("gcp_jwt_exp", Type::Integer { min: 1, max: 900 }, "seconds that the JWT of `gcp_iam` is good for")
        .default("900"),
    text("azure_auth_role", "the role to log in with"),
    mount("azure_login_path", "/v1/auth/azure/login", "where the Azure method logs in"),
    text("azure_resource", "the resource that the managed identity's token is for; as in the method's configuration")
        .default("https://management.azure.com/")
        .holds(Holds::Url),
    text("azure_client_id", "which managed identity, where the machine has several"),
    mount("userpass_auth_path", "userpass", "where the userpass method is mounted"),
    text("userpass_username", "the user's name"),
    secret("userpass_password", "the user's password"),
    mount("ldap_auth_path", "ldap", "where the LDAP method is mounted"),
    text("ldap_username", "the user's name"),
    secret("ldap_password", "the user's password"),
];

const fn is(method: &'static str, all: &'static [&'static str], any: &'static [&'static str]) -> Needs {
    Needs { when: When::Is("auth_method", method), all, any }
}

/// `token` needs nothing: an agent in front of the vault may add its own.
pub const NEEDS: &[Needs] = &[
    is("kubernetes", &["kube_role"], &[]),
    is("approle", &["approle_role_id"], &[]),
    is("cert", &[], &["cert_auth_cert", "client_cert"]),
    is("jwt", &[], &["oauth2_token_endpoint", "jwt", "jwt_file"]),
    is("oauth2", &["oauth2_token_endpoint"], &[]),
    Needs { when: When::Set("oauth2_token_endpoint"), all: &["oauth2_client_id", "oauth2_client_secret"], any: &[] },
    is("aws_iam", &["aws_auth_role"], &[]),
    Needs { when: When::Set("aws_access_key_id"), all: &["aws_secret_access_key"], any: &[] },
    Needs { when: When::Set("aws_secret_access_key"), all: &["aws_access_key_id"], any: &[] },
    is("aws_ec2", &["aws_auth_role", "aws_auth_nonce"], &[]),
    is("gcp_iam", &["gcp_auth_role"], &[]),
    is("gcp_gce", &["gcp_auth_role"], &[]),
    is("azure", &["azure_auth_role"], &[]),
    is("userpass", &["userpass_username", "userpass_password"], &[]),
    is("ldap", &["ldap_username", "ldap_password"], &[]),
];
