use std::collections::HashSet;

use super::*;

/// Names in use, by gateways, identity-aware proxies, clouds and APIs, that tell which user asks.
const CREDENTIALS: &str = "
    authorization proxy-authorization x-authorization authorization-bin x-proxy-authorization cookie cookie2
    x-api-key x-apikey apikey api-key api_key x-api-token x-api-secret x-api-user x-app-key appkey
    private-token job-token deploy-token x-gitlab-token sudo x-hub-signature x-hub-signature-256 stripe-signature
    x-vault-token x-consul-token x-nomad-token x-figma-token x-plex-token x-emby-token x-emby-authorization
    ocp-apim-subscription-key x-functions-key x-zumo-auth x-ms-client-principal x-ms-client-principal-id
    x-ms-client-principal-name x-ms-token-aad-id-token x-ms-token-aad-access-token x-arr-clientcert
    x-shopify-access-token x-shopify-storefront-access-token x-parse-rest-api-key x-parse-session-token
    x-hasura-admin-secret x-hasura-role x-hasura-user-id x-n8n-api-key x-algolia-api-key dd-api-key
    dd-application-key x-rapidapi-key x-rapidapi-proxy-secret x-mbx-apikey x-riot-token fastly-key x-auth-key
    x-auth-email x-auth-token x-auth-user-service-key x-auth-username x-auth-request-user x-auth-request-email
    x-auth-request-groups x-auth-request-access-token x-auth-request-preferred-username
    x-forwarded-user x-forwarded-email x-forwarded-groups x-forwarded-preferred-username x-forwarded-access-token
    x-forwarded-client-cert x-forwarded-tls-client-cert x-forwarded-tls-client-cert-info
    ssl-client-cert ssl-client-s-dn ssl-client-verify ssl-client-subject-dn x-ssl-cert x-ssl-client-cert
    x-ssl-client-s-dn x-ssl-client-verify x-ssl-client-dn x-client-cert client-cert client-cert-chain x-client-dn
    x-client-verify x-client-subject x-amzn-mtls-clientcert x-amzn-mtls-clientcert-subject
    x-amzn-mtls-clientcert-serial-number x-tls-client-serial
    remote-user remote-groups remote-email x-remote-user x-remote-group x-webauth-user x-webauth-email
    x-consumer-id x-consumer-username x-consumer-custom-id x-consumer-groups x-anonymous-consumer
    x-credential-identifier x-authenticated-userid x-authenticated-scope x-userinfo x-id-token x-access-token
    access-token x-jwt-assertion x-goog-iap-jwt-assertion cf-access-jwt-assertion
    cf-access-authenticated-user-email cf-access-client-id cf-access-client-secret x-pomerium-jwt-assertion
    x-pomerium-claim-email x-goog-api-key x-goog-iam-authorization-token x-goog-authenticated-user-id
    x-goog-authenticated-user-email x-apigateway-api-userinfo x-endpoint-api-userinfo x-appengine-user-email
    x-amz-security-token x-amzn-oidc-data x-amzn-oidc-identity x-amzn-oidc-accesstoken
    x-session-token x-session-id x-sessionid sessionid phpsessid jsessionid x-sid mcp-session-id
    tailscale-user-login tailscale-user-name x-authentik-username x-authentik-uid x-vouch-user x-user x-user-id
    x-userid user-id x-username x-user-email user_id x-email x-login x-identity x-principal x-account-id
    x-customer-id x-member-id x-uid x-employee-id impersonate-user impersonate-group x-on-behalf-of x-ibm-client-id
    x-ibm-client-secret client_id client_secret signature signature-input dpop x-csrf-token x-csrftoken x-xsrf-token
    x-password x-passphrase x-otp x-sso-ticket x-saml-assertion x-oauth-token x-bearer-token x-jwt x-license-key
    x-access-key x-signature x-slack-signature x-twilio-signature sec-token-binding sec-private-state-token
    x-amz-server-side-encryption-customer-key x-msisdn token x-token usertoken authtoken x-roles x-permissions
    x-webhook-secret x-macaroon macaroons x-encrypted-key x-subscription-token x-user-bin x-tenant-token-bin
    http-x-user x-auth auth x_auth_token x.auth.token --token ssl-client x-tls-client x-api-keys
";

/// Names in use that do not.
const OTHERS: &str = "
    accept accept-charset accept-encoding accept-language accept-datetime accept-patch accept-ranges accept-signature
    accept-ch accept-post a-im access-control-request-headers access-control-request-method
    access-control-request-private-network alt-used available-dictionary dictionary-id age allow baggage b3
    cache-control cdn-loop cf-connecting-ip cf-connecting-ipv6 cf-ipcountry cf-ray cf-visitor cf-worker cf-ew-via
    cloudfront-forwarded-proto cloudfront-is-desktop-viewer cloudfront-is-mobile-viewer cloudfront-viewer-address
    cloudfront-viewer-country connection content-digest content-disposition content-encoding content-language
    content-length content-location content-md5 content-range content-type correlation-id correlation-context
    date depth destination device-memory digest dnt downlink dpr early-data ect elastic-apm-traceparent expect
    expect-ct fastly-client-ip fastly-ff fastly-ssl fly-client-ip fly-forwarded-port fly-region forwarded from
    front-end-https graphql-require-preflight apollo-require-preflight apollographql-client-name
    apollographql-client-version grpc-accept-encoding grpc-encoding grpc-tags-bin grpc-timeout grpc-trace-bin
    grpc-previous-rpc-attempts host http2-settings hx-boosted hx-current-url hx-request hx-target hx-trigger
    idempotency-key x-idempotency-key if if-match if-modified-since if-none-match if-range if-unmodified-since
    if-schedule-tag-match keep-alive last-event-id last-modified link max-forwards mcp-protocol-version mime-version
    newrelic next-router-prefetch next-router-state-tree next-url origin overwrite ping-from ping-to pragma prefer
    priority purpose range referer repr-digest rsc rtt save-data sec-ch-ua sec-ch-ua-arch sec-ch-ua-mobile
    sec-ch-ua-platform sec-ch-prefers-color-scheme sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user
    sec-gpc sec-purpose sec-websocket-accept sec-websocket-extensions sec-websocket-key sec-websocket-protocol
    sec-websocket-version sentry-trace service-worker service-worker-navigation-preload soapaction surrogate-capability
    te timeout traceparent tracestate trailer transfer-encoding true-client-ip turbo-frame uber-trace-id upgrade
    upgrade-insecure-requests user-agent x-user-agent x-device-user-agent x-original-user-agent viewport-width via
    want-content-digest want-digest want-repr-digest warning width
    x-amz-cf-id x-amz-content-sha256 x-amz-date x-amz-user-agent x-amzn-requestid x-amzn-tls-version
    x-amzn-tls-cipher-suite x-amzn-trace-id x-api-version api-version x-app-version x-appengine-country
    x-appengine-user-ip x-arr-log-id x-arr-ssl x-att-deviceid x-author x-authority x-azure-ref x-azure-clientip
    x-b3-flags x-b3-parentspanid x-b3-sampled x-b3-spanid x-b3-traceid x-build x-cache-key x-client-data
    x-client-ip x-client-version x-cloud-trace-context x-cluster-client-ip x-correlation-id x-country
    x-datadog-parent-id x-datadog-sampling-priority x-datadog-trace-id x-device-id x-do-not-track
    x-envoy-attempt-count x-envoy-expected-rq-timeout-ms x-envoy-external-address x-fd-healthprobe x-feature-flags
    x-forwarded x-forwarded-by x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-prefix
    x-forwarded-proto x-forwarded-scheme x-forwarded-server x-forwarded-ssl x-goog-api-client x-goog-request-params
    x-http-method-override x-inertia x-inertia-version x-livewire x-locale x-ms-client-request-id x-moz
    x-nextjs-data x-nf-request-id x-operamini-phone-ua x-original-host x-original-url x-ot-span-context
    x-partition-key x-pjax x-platform x-prerender x-purpose x-queue-start x-real-ip x-region x-request-id
    x-request-start x-requested-with x-rewrite-url x-routing-key x-scheme x-surrogate-key x-timezone x-timestamp
    x-trace-id x-up-version x-vercel-id x-vercel-ip-country x-vercel-ja4-digest x-version x-wap-profile x-tenant
    x-tenant-id x-org-id x-scope-orgid openai-beta anthropic-version
";

#[test]
fn fields_that_tell_who_is_asking_are_recognised_by_their_names() {
    let names: HashSet<_> = CREDENTIALS.split_whitespace().collect();
    assert!(names.len() >= 150, "{}", names.len());
    let missed: Vec<_> = names.into_iter().filter(|name| !is_credential(name)).collect();
    assert_eq!(missed, <[&str; 0]>::default());
}

#[test]
fn other_fields_are_not_taken_for_them() {
    let names: HashSet<_> = OTHERS.split_whitespace().collect();
    assert!(names.len() >= 200, "{}", names.len());
    let mistaken: Vec<_> = names.into_iter().filter(|name| is_credential(name)).collect();
    assert_eq!(mistaken, <[&str; 0]>::default());
}

#[test]
fn a_word_counts_wherever_it_stands() {
    for word in ["token", "authorization", "jwt", "session", "apikey", "user", "secret"] {
        for name in [
            word.to_owned(),
            format!("x-{word}"),
            format!("my-own-{word}-field"),
            format!("my_{word}"),
            format!("{word}-bin"),
            format!("{word}.id"),
        ] {
            assert!(is_credential(&name), "{name}");
        }
    }
}

#[test]
fn any_name_is_judged_without_a_panic() {
    for name in [
        "",
        "-",
        "--",
        "_",
        ".",
        "a",
        "x-",
        "-x",
        "auth-",
        "user",
        "user-agent-",
        "key",
        "ß",
    ] {
        is_credential(name);
    }
}
