use std::time::Duration;

use super::*;

fn proxies(change: impl for<'a> FnOnce(&mut Transport<'a>), environment: &[(&str, &str)]) -> Proxies {
    let environment = Environment::from_variables(environment.iter().copied());
    let mut transport = Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(1));
    change(&mut transport);
    Proxies::new(&transport)
}

/// The proxy's address, `direct`, or what is wrong.
fn way(proxies: &Proxies, url: &str) -> String {
    match proxies.for_destination(&url.parse().expect(url)) {
        Ok(Some(proxy)) => proxy.address.clone(),
        Ok(None) => "direct".to_owned(),
        Err(reason) => reason.to_owned(),
    }
}

#[test]
fn the_environment_names_proxies_as_it_does_for_curl_and_go() {
    let of = |environment: &[(&str, &str)], url| way(&proxies(|_| {}, environment), url);
    let both = [("HTTP_PROXY", "http://plain:3128"), ("HTTPS_PROXY", "https://secure")];
    assert_eq!(of(&[], "http://vault:8200"), "direct");
    assert_eq!(of(&both, "http://vault:8200"), "plain:3128");
    assert_eq!(of(&both, "https://vault:8200"), "secure:443");
    assert_eq!(of(&[("http_proxy", "low:1")], "http://vault"), "low:1");
    assert_eq!(of(&[("https_proxy", "low:1")], "http://vault"), "direct");
    assert_eq!(of(&[("HTTPS_PROXY", "high:1"), ("https_proxy", "low:1")], "https://vault"), "high:1");
    assert_eq!(of(&[("ALL_PROXY", "all:1"), ("HTTPS_PROXY", "s:2")], "http://vault"), "all:1");
    assert_eq!(of(&[("HTTP_PROXY", "")], "http://vault"), "direct");
}

#[test]
fn a_cgi_programs_http_proxy_is_a_clients_header() {
    let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil:1"), ("HTTPS_PROXY", "http://good:1")];
    let proxies = proxies(|_| {}, &cgi);
    assert_eq!(way(&proxies, "http://vault"), "direct");
    assert_eq!(way(&proxies, "https://vault"), "good:1");
}

#[test]
fn the_options_stand_above_the_environment() {
    let environment = [("HTTP_PROXY", "http://env:1"), ("HTTPS_PROXY", "http://env:1"), ("NO_PROXY", "near")];
    let own = proxies(|transport| transport.proxy = Some("http://own:2"), &environment);
    assert_eq!(way(&own, "https://vault"), "own:2");
    assert_eq!(way(&own, "http://vault"), "own:2");
    assert_eq!(way(&own, "http://near"), "direct");
    let off = proxies(|transport| transport.proxy = Some("off"), &environment);
    assert_eq!(way(&off, "https://vault"), "direct");
    let list = ["vault".to_owned()];
    let environment = Environment::from_variables(environment);
    let transport = Transport {
        no_proxy: &list,
        ..Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(1))
    };
    assert_eq!(way(&Proxies::new(&transport), "http://vault"), "direct");
    assert_eq!(way(&Proxies::new(&transport), "http://near"), "env:1");
}

#[test]
fn who_is_near_is_connected_to_directly() {
    let list = "example.com, .dotted.org *.starred.net,10.0.0.0/8,192.0.2.7,2001:db8::/32,[2001:db9::1],ported:8200,\
                [2001:dba::1]:8200";
    let proxies = proxies(|_| {}, &[("HTTP_PROXY", "p:1"), ("HTTPS_PROXY", "p:1"), ("NO_PROXY", list)]);
    for url in [
        "http://example.com",
        "https://EXAMPLE.com:8200",
        "http://a.example.com",
        "http://a.dotted.org",
        "http://a.starred.net",
        "http://10.255.0.1:8200",
        "http://192.0.2.7",
        "http://[2001:db8:1::1]:8200",
        "http://[2001:db9::1]",
        "https://ported:8200",
        "http://a.ported:8200",
        "https://[2001:dba::1]:8200",
    ] {
        assert_eq!(way(&proxies, url), "direct", "{url}");
    }
    for url in [
        "http://notexample.com",
        "http://example.com.evil",
        "http://xdotted.org",
        "http://11.0.0.1",
        "http://192.0.2.70",
        "http://[2001:db7::1]",
        "https://ported",
        "http://ported:8201",
        "https://[2001:dba::1]:8201",
    ] {
        assert_eq!(way(&proxies, url), "p:1", "{url}");
    }
}

#[test]
fn this_machine_and_its_metadata_are_never_behind_a_proxy() {
    let all = proxies(|transport| transport.proxy = Some("p:1"), &[]);
    for url in [
        "http://localhost:8200",
        "https://127.0.0.1:8200",
        "http://127.8.0.1",
        "http://[::1]:8200",
        "http://169.254.169.254/latest",
        "http://169.254.170.2",
        "http://[fd00:ec2::254]",
        "http://metadata.google.internal",
    ] {
        assert_eq!(way(&all, url), "direct", "{url}");
    }
    let none = proxies(|_| {}, &[("HTTP_PROXY", "p:1"), ("no_proxy", "*")]);
    assert_eq!(way(&none, "http://vault"), "direct");
}

#[test]
fn a_password_is_sent_and_never_shown() {
    let proxies = proxies(|transport| transport.proxy = Some("http://us%40er:hunt%3Aer2@p:1/"), &[]);
    let proxy = proxies.for_destination(&"http://vault".parse().unwrap()).unwrap().expect("a proxy");
    // us@er:hunt:er2
    let authorization = proxy.authorization.as_ref().expect("a header");
    assert_eq!(authorization, "Basic dXNAZXI6aHVudDplcjI=");
    assert!(authorization.is_sensitive());
    assert_eq!((proxy.address.as_str(), proxy.uri.to_string().as_str()), ("p:1", "http://p:1/"));
    for bad in [
        "ftp://u:hunter2@p",
        "http://u:hunter2@p/path",
        "http://u:hunter2@p?a",
        "http://u:hunter2@p#a",
        "http://u:hunter2@",
        "socks5://u:hunter2@p:1080",
        "http://u:hunter2@p:99999",
        "http://u:hunter2@p q",
    ] {
        let proxies = super::tests::proxies(|_| {}, &[("HTTPS_PROXY", bad)]);
        let reason = way(&proxies, "https://vault");
        assert!(reason.starts_with("HTTPS_PROXY ") && !reason.contains("hunter2"), "{bad}: {reason}");
        assert_eq!(way(&proxies, "http://vault"), "direct");
    }
}

#[test]
fn kongs_variables_have_the_header_for_a_proxy_of_the_environment() {
    let (http, https) = (("HTTP_PROXY", "plain:1"), ("https_proxy", "secure:2"));
    let headers = [("HTTP_PROXY_AUTHORIZATION", "Basic aHVudGVyMg=="), ("HTTPS_PROXY_AUTHORIZATION", "Bearer hunter2")];
    let header = |proxies: &Proxies, url: &str| {
        let proxy = proxies.for_destination(&url.parse().unwrap()).map(|proxy| proxy.cloned());
        let authorization = proxy.map(|proxy| proxy.and_then(|proxy| proxy.authorization.clone()));
        authorization.map_err(str::to_owned).map(|header| {
            assert!(header.as_ref().is_none_or(HeaderValue::is_sensitive));
            header.map(|header| header.to_str().unwrap().to_owned())
        })
    };
    let both = proxies(|_| {}, &[http, https, headers[0], headers[1]]);
    assert_eq!(header(&both, "http://vault"), Ok(Some("Basic aHVudGVyMg==".to_owned())));
    assert_eq!(header(&both, "https://vault"), Ok(Some("Bearer hunter2".to_owned())));
    // One for each protocol; and neither an option's proxy nor a user in the URL takes it.
    let one = proxies(|_| {}, &[http, https, headers[1]]);
    assert_eq!(header(&one, "http://vault"), Ok(None));
    let option = proxies(|transport| transport.proxy = Some("other:3"), &[http, https, headers[0], headers[1]]);
    assert_eq!((header(&option, "http://vault"), header(&option, "https://vault")), (Ok(None), Ok(None)));
    let named = proxies(|_| {}, &[("HTTPS_PROXY", "http://u:p@secure:2"), headers[1]]);
    assert_eq!(header(&named, "https://vault"), Ok(Some("Basic dTpw".to_owned())));
    // In a CGI program, the first of them is what a client sent.
    let cgi = proxies(|_| {}, &[("http_proxy", "plain:1"), headers[0], ("REQUEST_METHOD", "GET")]);
    assert_eq!(header(&cgi, "http://vault"), Ok(None));
    let bad = proxies(|_| {}, &[https, ("HTTPS_PROXY_AUTHORIZATION", "Basic hunter2\r\nx: y")]);
    let reason = way(&bad, "https://vault");
    assert!(reason.starts_with("HTTPS_PROXY_AUTHORIZATION ") && !reason.contains("hunter2"), "{reason}");
}

/// A list, and hosts that are connected to directly (`true`) or through a proxy with it.
type Table = &'static [(&'static str, &'static [(&'static str, bool)])];

/// Facts of curl's `tests/unit/unit1614.c` (curl's licence, © Daniel Stenberg).
const CURL: Table = &[
    (
        "localhost,.example.com,.example.de",
        &[("www.example.com", true), ("www.example.com.", true), ("example.com", true), ("example.com.", true)],
    ),
    ("localhost,.example.com.,.example.de", &[("www.example.com", true)]),
    ("localhost,www.example.com.,.example.de", &[("www.example.com", true), ("example.com", false)]),
    ("localhost,example.com,.example.de", &[("example.com", true), ("example.com.", true)]),
    ("127.0.0.1/28,localhost,", &[("127.0.0.1", true)]),
    ("barfoo", &[("foobar", false), ("192.168.0.1", false)]),
    ("foobar", &[("foobar", true)]),
    ("192.168.0.0/16", &[("192.168.0.1", true), ("192.168.1.1", true)]),
    ("192.168.0.0/24", &[("192.168.0.1", true), ("192.168.1.1", false)]),
    ("192.168.0.0/32", &[("192.168.0.1", false)]),
    ("192.168.0.0", &[("192.168.0.1", false)]),
    ("foo, bar, 192.168.0.0/16", &[("192.168.1.1", true), ("[2001:db8::1]", false)]),
    ("foo, bar, 2001:db8::1/64", &[("[2001:db8::2]", true), ("bar", true), ("BAr", true)]),
    ("foo,,,,,              bar, ::1/64", &[("BAr", true)]),
    ("www2.example.com, .example.net", &[("www.example.com", false)]),
    (".example.com, .example.net", &[("example.com", true), ("nonexample.com", false)]),
];

/// Facts of Go's `golang.org/x/net/http/httpproxy` (BSD-3-Clause, © The Go Authors), in `proxy_test.go`. Where it
/// differs, curl is followed: with a dot before it, a name stands for itself as well.
const GO: Table = &[
    (
        "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, \
         2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64",
        &[
            ("localhost", true),
            ("127.0.0.2", true),
            ("[::1]", true),
            ("[::2]", false),
            ("192.168.1.1", true),
            ("192.168.1.2", false),
            ("192.168.1.3", true),
            ("192.168.1.4", false),
            ("10.0.0.2", true),
            ("[2001:db8::52:0:1]", true),
            ("[2001:db8::52:0:2]", false),
            ("[2001:db8::52:0:3]", true),
            ("[2002:db8:a::123]", true),
            ("www.barbaz.net", true),
            ("foobar.com", true),
            ("www.foobar.com", true),
            ("foofoobar.com", false),
            ("baz.com", false),
            ("localhost.net", false),
            ("barbarbaz.net", false),
            ("nested.wildcard.io", true),
            ("awildcard.io", false),
        ],
    ),
    ("ample.com", &[("example.com", false)]),
    (".foo.com", &[("example.com", false)]),
    (":1", &[("example.com", false)]),
    ("*", &[("example.com", true), ("192.168.1.4", true), ("[2001:db8::52:0:2]", true)]),
    (".示例.com", &[("www.xn--fsq092h.com", true)]),
    ("示例.com", &[("www.xn--fsq092h.com", true), ("xn--fsq092h.com", true)]),
    ("xn--fsq092h.com", &[("www.xn--fsq092h.com", true)]),
];

/// Facts of CPython's `Lib/test/test_urllib.py` (PSF-2.0, © Python Software Foundation).
const PYTHON: Table = &[
    (
        "localhost, anotherdomain.com, newdomain.com:1234, .d.o.t",
        &[
            ("localhost", true),
            ("LocalHost", true),
            ("LOCALHOST", true),
            ("newdomain.com:1234", true),
            ("foo.d.o.t", true),
            ("d.o.t", true),
            ("anotherdomain.com:8888", true),
            ("www.newdomain.com:1234", true),
            ("prelocalhost", false),
            ("newdomain.com", false),
            ("newdomain.com:1235", false),
        ],
    ),
    ("*", &[("newdomain.com", true), ("newdomain.com:1234", true)]),
];

/// This library's own cases: dots at a name's end, and what separates entries.
const OWN: Table = &[
    ("vault.example.com.", &[("vault.example.com", true), ("vault.example.com.", true), ("example.com", false)]),
    ("vault.example.com", &[("vault.example.com.:8200", true), ("a.vault.example.com.", true)]),
    (".example.com..", &[("vault.example.com", true), ("vault.example.com.evil", false)]),
    ("*.example.com.", &[("vault.example.com.", true), ("vaultexample.com", false)]),
    (
        "example.com.:8200",
        &[("vault.example.com:8200", true), ("example.com.:8200", true), ("example.com:8201", false)],
    ),
    ("a.example\nb.example\r\n\tc.example", &[("a.example", true), ("b.example", true), ("c.example", true)]),
    (".", &[("example.com", false)]),
    ("..,:,:80,[],[]:80,*.", &[("example.com", false), ("example.com.", false)]),
];

#[test]
fn lists_mean_what_curl_go_and_python_take_them_for() {
    for (list, hosts) in [CURL, GO, PYTHON, OWN].into_iter().flatten() {
        let of_environment = proxies(|_| {}, &[("HTTP_PROXY", "p:1"), ("NO_PROXY", list)]);
        let environment = Environment::default();
        let mut transport = Transport::new("hcv vault (test)".to_owned(), &environment, Duration::from_secs(1));
        let entries: Vec<_> = list.split(',').map(str::to_owned).collect();
        (transport.proxy, transport.no_proxy) = (Some("p:1"), &entries);
        let of_option = Proxies::new(&transport);
        for (host, is_direct) in *hosts {
            let expected = if *is_direct { "direct" } else { "p:1" };
            let url = format!("http://{host}");
            assert_eq!(way(&of_environment, &url), expected, "{host} under {list}");
            assert_eq!(way(&of_option, &url), expected, "{host} under the option {list}");
        }
    }
}

#[test]
fn a_variable_without_a_value_is_none() {
    let of = |environment: &[(&str, &str)], url| way(&proxies(|_| {}, environment), url);
    for empty in ["", " ", "\t\n"] {
        let https = [("HTTPS_PROXY", empty), ("https_proxy", "low:1")];
        assert_eq!(of(&https, "https://vault"), "low:1");
        assert_eq!(of(&[("https_proxy", empty), ("ALL_PROXY", "all:1")], "https://vault"), "all:1");
        assert_eq!(of(&[("HTTP_PROXY", empty), ("http_proxy", "low:1")], "http://vault"), "low:1");
        assert_eq!(
            of(&[("HTTP_PROXY", empty), ("http_proxy", empty), ("all_proxy", "all:1")], "http://vault"),
            "all:1"
        );
        let list = [("HTTP_PROXY", "p:1"), ("NO_PROXY", empty), ("no_proxy", "vault")];
        assert_eq!(of(&list, "http://vault"), "direct");
        assert_eq!(of(&[("HTTPS_PROXY", empty)], "https://vault"), "direct");
    }
}
