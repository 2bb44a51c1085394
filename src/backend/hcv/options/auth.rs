//! The options of each auth method, with Kong's names and defaults.

use crate::backend::{Requirement, When};
use crate::identity::aws::REGION;
use crate::options::{Holds, Opt, Type};

/// What a token of Azure is for, unless another resource is set.
const MANAGEMENT: &str = "https://management.azure.com/";

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

/// OpenID Connect's names for the two ways.
const CLIENT_AUTH: &[&str] = &["client_secret_post", "client_secret_basic"];

/// The pattern of a value that becomes a header.
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
    text("auth_method", "how kong-vault logs in; `oauth2` is another name of `jwt`").default("token").one_of(METHODS),
    text("auth_namespace", "namespace of the auth method, if it is not `namespace`; `root` for none")
        .pattern(PRINTABLE.0, PRINTABLE.1),
    Opt::new("revoke_on_exit", Type::Boolean, "revoke a login's token when the worker ends").default("false"),
    secret("token", "token for `auth_method = token`; not set if an agent adds its own")
        .pattern(PRINTABLE.0, PRINTABLE.1),
    Opt::new(
        "token_renew",
        Type::Boolean,
        "look up `token` and renew it before it expires, as a periodic token needs it",
    )
    .default("false"),
    text("token_file", "file with the token, as an agent writes it; read again when it changes").holds(Holds::File),
    text("kube_role", "role to log in with, for `kubernetes`"),
    mount("kube_auth_path", "kubernetes", "mount path of the Kubernetes method"),
    text("kube_api_token_file", "file with the service account's token; read for each login")
        .default("/run/secrets/kubernetes.io/serviceaccount/token")
        .holds(Holds::File),
    mount("approle_auth_path", "approle", "mount path of the AppRole method"),
    secret("approle_role_id", "role id, for `approle`"),
    secret("approle_secret_id", "secret id, or the token that wraps it; not set if the role has `bind_secret_id=false`"),
    text("approle_secret_id_file", "file with the secret id, or with the token that wraps it; read for each login")
        .holds(Holds::File),
    Opt::new(
        "approle_response_wrapping",
        Type::Boolean,
        "the secret id is a wrapping token, which can be unwrapped once",
    )
    .default("false"),
    mount("cert_auth_path", "cert", "mount path of the TLS certificate method"),
    text("cert_auth_role_name", "certificate role; not set: any that the certificate matches"),
    text("cert_auth_cert", "certificate to log in with: a file's path, or PEM text; not set: `client_cert`")
        .holds(Holds::Pem),
    secret("cert_auth_cert_key", "key of `cert_auth_cert`: a file's path, or PEM text; not set: the key is in `cert_auth_cert`"),
    mount("jwt_auth_path", "jwt", "mount path of the JWT method"),
    text("jwt_role", "role to log in with; not set: the method's default").aliases(&["oauth2_role_name"]),
    secret("jwt", "JWT to log in with, without an identity provider"),
    text("jwt_file", "file with a JWT to log in with; read for each login").holds(Holds::File),
    text("oauth2_token_endpoint", "token endpoint of the identity provider, for client credentials").pattern(
        r"https?://[^[:space:]/?#@\\]+(/[^[:space:]?#@\\]*)?(\?[^[:space:]#@\\]*)?",
        "a URL such as https://host/oauth2/token, without user and fragment",
    )
    .holds(Holds::Url),
    text("oauth2_client_id", "client id at the identity provider"),
    secret("oauth2_client_secret", "client secret at the identity provider"),
    text(
        "oauth2_client_auth",
        "how to send id and secret to the identity provider; not set: in the form, then as HTTP Basic if it answers \
         `invalid_client`",
    )
    .one_of(CLIENT_AUTH),
    Opt::new("oauth2_audiences", Type::List, "audience of the JWT").text_in_kong(),
    Opt::new("oauth2_scopes", Type::List, "scopes to ask the identity provider for"),
    text(
        "oauth2_ca_cert",
        "CA bundle for the identity provider instead of the system's: a file's path, or PEM text",
    )
    .holds(Holds::Pem)
    .guards(),
    text("aws_auth_role", "role to log in with, for `aws_iam` and `aws_ec2`"),
    mount("aws_login_path", "/v1/auth/aws/login", "login path of the AWS method"),
    text(
        "aws_auth_region",
        "region of the STS that the vault asks, for `aws_iam`; not set: `AWS_REGION`, `AWS_DEFAULT_REGION`, then the \
         profile's",
    )
    .pattern(REGION, "a region's name, such as us-east-1"),
    secret("aws_access_key_id", "access key id for `aws_iam`; not set: the credential chain of `aws` vaults"),
    secret("aws_secret_access_key", "secret access key for `aws_iam`"),
    text("aws_assume_role_arn", "ARN of a role to assume before logging in, for `aws_iam`").pattern(
        r"arn:[a-z0-9-]+:iam::[0-9]{12}:role/[[:word:]+=,.@/-]{1,512}",
        "a role's ARN, such as arn:aws:iam::123456789012:role/gateway",
    ),
    text("aws_role_session_name", "session name in `aws_assume_role_arn`, which AWS's logs show")
        .default("kong")
        .pattern(r"[[:word:]+=,.@-]{2,64}", "2 to 64 letters, digits and +=,.@-_"),
    text("aws_sts_endpoint_url", "address of STS, for the login and for `aws_assume_role_arn`; not set: `AWS_ENDPOINT_URL_STS`, then the region's own")
        .pattern(
            r"https?://[^[:space:]/?#@\\]+(/[^[:space:]?#@\\]*)?",
            "a URL such as https://host, without user, query and fragment",
        )
        .holds(Holds::Url),
    text("aws_iam_server_id", "value of the header X-Vault-AWS-IAM-Server-ID, if the vault asks for it")
        .pattern(PRINTABLE.0, PRINTABLE.1)
        .guards(),
    secret("aws_auth_nonce", "nonce of this instance's logins, for `aws_ec2`"),
    text("gcp_auth_role", "role to log in with, for `gcp_iam` and `gcp_gce`"),
    mount("gcp_login_path", "/v1/auth/gcp/login", "login path of the Google Cloud method"),
    text(
        "gcp_service_account",
        "service account that signs, for `gcp_iam`: its address, or the path of its key's JSON; not set: the account \
         of the key in `GCP_SERVICE_ACCOUNT` (JSON) or `GOOGLE_APPLICATION_CREDENTIALS` (a file), then the machine's \
         own",
    )
    .pattern(r"[^[:space:]{}]+", "a service account's address or a file's path")
    .holds(Holds::File),
    Opt::new("gcp_jwt_exp", Type::Integer { min: 1, max: 900 }, "lifetime of the JWT of `gcp_iam`, in seconds")
        .default("900"),
    text("azure_auth_role", "role to log in with, for `azure`"),
    mount("azure_login_path", "/v1/auth/azure/login", "login path of the Azure method"),
    text("azure_resource", "resource that the token is for, as in the method's configuration")
        .default(MANAGEMENT)
        .holds(Holds::Url)
        .confined("https://management.azure.com/ or an api://…", |resource| {
            resource.trim_end_matches('/') == MANAGEMENT.trim_end_matches('/') || resource.starts_with("api://")
        }),
    text("azure_client_id", "client id of the managed identity, if the machine has several, or of the application; not set: `AZURE_CLIENT_ID`"),
    mount("userpass_auth_path", "userpass", "mount path of the userpass method"),
    text("userpass_username", "user name, for `userpass`"),
    secret("userpass_password", "password, for `userpass`"),
    mount("ldap_auth_path", "ldap", "mount path of the LDAP method"),
    text("ldap_username", "user name, for `ldap`"),
    secret("ldap_password", "password, for `ldap`"),
];

const fn is(method: &'static str, all: &'static [&'static str], any: &'static [&'static str]) -> Requirement {
    Requirement { when: When::Is("auth_method", method), all, any }
}

/// `token` requires nothing, as an agent in front of the vault may add one.
pub const REQUIREMENTS: &[Requirement] = &[
    is("kubernetes", &["kube_role"], &[]),
    is("approle", &["approle_role_id"], &[]),
    is("cert", &[], &["cert_auth_cert", "client_cert"]),
    is("jwt", &[], &["oauth2_token_endpoint", "jwt", "jwt_file"]),
    is("oauth2", &["oauth2_token_endpoint"], &[]),
    Requirement {
        when: When::Set("oauth2_token_endpoint"),
        all: &["oauth2_client_id", "oauth2_client_secret"],
        any: &[],
    },
    is("aws_iam", &["aws_auth_role"], &[]),
    Requirement { when: When::Set("aws_access_key_id"), all: &["aws_secret_access_key"], any: &[] },
    Requirement { when: When::Set("aws_secret_access_key"), all: &["aws_access_key_id"], any: &[] },
    is("aws_ec2", &["aws_auth_role", "aws_auth_nonce"], &[]),
    is("gcp_iam", &["gcp_auth_role"], &[]),
    is("gcp_gce", &["gcp_auth_role"], &[]),
    is("azure", &["azure_auth_role"], &[]),
    is("userpass", &["userpass_username", "userpass_password"], &[]),
    is("ldap", &["ldap_username", "ldap_password"], &[]),
];
