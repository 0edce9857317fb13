"""By what each feature that we claim is shown to work: stories, and tests with data planes.

Tests of traffic run on every data plane that claims it; a story has what each is told.
"""

from typing import Final

_TRAFFIC = "tests/compile_gateway/test_gateway_traffic.py::"
_TLS = "tests/compile_gateway/test_gateway_tls.py::"
_NAMES = "tests/compile_gateway/test_misdirected_traffic.py::"
_CHANGES = "tests/compile_gateway/test_gateway_changes.py::"
_STREAMS = "tests/compile_gateway/test_stream_traffic.py::"
_PROTOCOLS = "tests/compile_gateway/test_protocol_traffic.py::"
_KERNEL = "tests/driver_nftables/test_nftables_shares.py::"
_CLAIMS = "tests/contract/claims_endpoints.py::"
SHOWN: Final = {
    "BackendTLSPolicy": (
        "gateway-backend-tls",
        "gateway-backend-tls-conflicts",
        f"{_TLS}test_backends_are_held_to_the_ca_and_the_name_of_their_policy",
    ),
    "BackendTLSPolicySANValidation": (
        "gateway-backend-tls",
        f"{_CLAIMS}endpoints_may_show_a_certificate_of_another_name",
        f"{_TLS}test_backends_may_have_other_names_than_the_one_sent",
    ),
    "GRPCRoute": (
        "gateway-grpc",
        "gateway-http-and-grpc-on-one-host",
        f"{_PROTOCOLS}test_calls_go_by_service_and_method",
    ),
    "GRPCRouteNamedRouteRule": ("gateway-grpc",),
    "Gateway": (
        "gateway-https",
        "gateway-listeners-in-conflict",
        "gateway-overlapping-tls",
        "gateway-attached-routes",
    ),
    "GatewayAddressEmpty": ("gateway-addresses",),
    "GatewayBackendClientCertificate": (
        "gateway-backend-client-certificate",
        "gateway-backend-client-certificate-in-vain",
        f"{_CLAIMS}endpoints_are_shown_a_certificate_or_nobody_connects",
    ),
    "GatewayFrontendClientCertificateValidation": (
        "gateway-client-certificates",
        f"{_TLS}test_clients_are_let_in_by_what_they_show",
    ),
    "GatewayFrontendClientCertificateValidationInsecureFallback": (
        "gateway-client-certificates",
        f"{_TLS}test_clients_are_let_in_by_what_they_show",
    ),
    "GatewayHTTPListenerIsolation": (
        "gateway-listener-isolation",
        f"{_TRAFFIC}test_a_request_belongs_to_the_closest_listener",
    ),
    "GatewayHTTPSListenerDetectMisdirectedRequests": (
        "gateway-misdirected-requests",
        f"{_NAMES}test_a_request_for_another_listener_than_the_connections_is_told_to_go_there",
    ),
    "GatewayPort8080": ("gateway-section-and-port",),
    "GatewayStaticAddresses": ("gateway-addresses", "gateway-address-stays"),
    "HTTPRoute": (
        "gateway-http",
        "gateway-precedence",
        f"{_TRAFFIC}test_the_most_special_match_takes_the_request",
        f"{_TRAFFIC}test_the_share_of_a_missing_backend_is_answered_500",
    ),
    "HTTPRoute303RedirectStatusCode": (f"{_TRAFFIC}test_redirects_say_where",),
    "HTTPRoute307RedirectStatusCode": (f"{_TRAFFIC}test_redirects_say_where",),
    "HTTPRoute308RedirectStatusCode": (f"{_TRAFFIC}test_redirects_say_where",),
    "HTTPRouteBackendProtocolH2C": (
        "gateway-backend-protocols",
        f"{_PROTOCOLS}test_h2c_is_spoken_to_a_service_that_says_so",
    ),
    "HTTPRouteBackendProtocolWebSocket": (
        "gateway-backend-protocols",
        "tests/contract/claims_requests.py::a_connection_is_upgraded_and_carries_bytes",
    ),
    "HTTPRouteBackendRequestHeaderModification": (
        "gateway-header-filters",
        f"{_TRAFFIC}test_headers_are_edited_for_a_rule_and_for_a_backend",
    ),
    "HTTPRouteBackendTimeout": (f"{_TRAFFIC}test_timeouts_end_a_request_and_an_attempt",),
    "HTTPRouteCORS": (
        "gateway-cors",
        f"{_TRAFFIC}test_pages_of_other_origins_are_told_what_they_may_do",
    ),
    "HTTPRouteDestinationPortMatching": ("gateway-section-and-port",),
    "HTTPRouteHostRewrite": (
        "gateway-rewrites",
        f"{_TRAFFIC}test_backends_see_what_was_rewritten",
    ),
    "HTTPRouteMethodMatching": (
        "gateway-matches",
        f"{_TRAFFIC}test_the_most_special_match_takes_the_request",
    ),
    "HTTPRouteNamedRouteRule": ("gateway-matches",),
    "HTTPRouteParentRefPort": ("gateway-section-and-port",),
    "HTTPRoutePathRedirect": ("gateway-redirects", f"{_TRAFFIC}test_redirects_say_where"),
    "HTTPRoutePathRewrite": (
        "gateway-rewrites",
        f"{_TRAFFIC}test_backends_see_what_was_rewritten",
    ),
    "HTTPRoutePortRedirect": ("gateway-redirects", f"{_TRAFFIC}test_redirects_say_where"),
    "HTTPRouteQueryParamMatching": (
        "gateway-matches",
        f"{_TRAFFIC}test_the_most_special_match_takes_the_request",
    ),
    "HTTPRouteRequestMirror": (
        "gateway-mirrors",
        f"{_TRAFFIC}test_copies_go_to_every_mirror_and_answers_to_nobody",
    ),
    "HTTPRouteRequestMultipleMirrors": (
        "gateway-mirrors",
        f"{_TRAFFIC}test_copies_go_to_every_mirror_and_answers_to_nobody",
    ),
    "HTTPRouteRequestPercentageMirror": ("gateway-mirrors",),
    "HTTPRouteRequestTimeout": (f"{_TRAFFIC}test_timeouts_end_a_request_and_an_attempt",),
    "HTTPRouteResponseHeaderModification": (
        "gateway-header-filters",
        f"{_TRAFFIC}test_headers_are_edited_for_a_rule_and_for_a_backend",
    ),
    "HTTPRouteRetry": (
        "gateway-timeouts-and-retries",
        f"{_TRAFFIC}test_a_request_is_tried_again",
    ),
    "HTTPRouteRetryBackendTimeout": (f"{_TRAFFIC}test_a_request_is_tried_again",),
    "HTTPRouteRetryConnectionError": (f"{_TRAFFIC}test_a_request_is_tried_again",),
    "HTTPRouteSchemeRedirect": ("gateway-redirects", f"{_TRAFFIC}test_redirects_say_where"),
    "ListenerSet": (
        "gateway-listener-sets",
        "gateway-listener-sets-in-conflict",
        "gateway-listener-set-without-certificate",
    ),
    "ReferenceGrant": (
        "gateway-grants",
        f"{_CHANGES}test_a_grant_that_is_taken_back_counts_no_more",
    ),
    "TCPRoute": (
        "gateway-streams",
        f"{_STREAMS}test_streams_go_to_their_routes_backend",
        f"{_STREAMS}test_connections_are_shared_out_and_a_missing_backends_share_is_closed",
    ),
    "TLSRoute": (
        "gateway-tls-passthrough",
        f"{_STREAMS}test_tls_goes_past_us_by_the_name_that_is_asked_for",
    ),
    "TLSRouteModeMixed": (
        f"{_STREAMS}test_tls_ends_or_passes_on_one_port_by_the_name_that_is_asked_for",
    ),
    "TLSRouteModeTerminate": (
        "gateway-tls-terminate",
        f"{_STREAMS}test_tls_ends_or_passes_on_one_port_by_the_name_that_is_asked_for",
    ),
    "UDPRoute": (
        "gateway-streams",
        "gateway-stream-weights",
        f"{_STREAMS}test_flows_of_packets_are_shared_out_and_a_missing_backends_share_is_dropped",
        f"{_KERNEL}test_routes_of_several_backends_are_the_kernels",
        f"{_STREAMS}test_streams_and_packets_go_to_their_routes_backends",
    ),
}
