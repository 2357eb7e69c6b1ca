/// A sentence with the target namespace in its middle.
struct Sentence: Sendable {
    let before: StaticString
    let after: StaticString

    init(_ before: StaticString, _ after: StaticString) {
        self.before = before
        self.after = after
    }
}

/// How a probe may end, and how often.
struct Scenario: Sendable {
    let outcome: StaticString
    let effectiveness: StaticString
    /// Out of 1000 within its profile.
    let weight: UInt64
    let sentences: [Sentence]
}

/// The controls a probe bears on, as JSON: what stands in `controlMappings`, and its `nist-800-53` list alone.
struct Mapping: Sendable {
    let frameworks: StaticString
    let nist: StaticString
}

/// A probe profile.
struct Profile: Sendable {
    /// As in `spec.probe.profile`.
    let name: StaticString
    /// As in labels, where a slash may not stand.
    let label: StaticString
    /// As in job names: DNS label characters only (RFC 1123).
    let job: StaticString
    /// Out of 100 results.
    let weight: UInt64
    let probes: [StaticString]
    let mappings: [Mapping]
    let scenarios: [Scenario]
    let modes: [StaticString]
    /// MITRE ATT&CK techniques; only detection probes have any.
    let techniques: [StaticString]
}

/// The rare result whose signature does not match, in any profile.
let tampered = Scenario(
    outcome: "TamperedResult", effectiveness: "Compromised", weight: 0,
    sentences: [
        Sentence(
            "Result signature for namespace ",
            " does not match the key of the probe runner; the payload was altered between runner and controller.")
    ])

let namespaces: [StaticString] = [
    "payments", "payments-staging", "case-management", "identity", "ingress-system", "logging", "records-archive",
    "hr-portal", "geo-services", "benefits-api", "default", "monitoring",
]

/// Now and then a detail ends like this: escapes and text beyond ASCII, as people and tools write them. JSON, escaped.
let unusualEndings: [StaticString] = [
    #" Response body: {\"kind\":\"Status\",\"reason\":\"Forbidden\",\"code\":403}."#,
    #" Log excerpt:\n\tE0301 denied by policy\n\tE0301 request closed\n"#,
    #" Note by Ren\u00e9e Dubois: verified by hand."#,
    " Hinweis von Jürgen Groß: Regel „verweigern“ greift wie geplant.",
    " 担当者が確認しました。",
    #" Path C:\\probe\\out.txt \u2014 escalated \ud83d\udea8."#,
    " Status ✅, relayed by naïve proxy.",
]

let profiles: [Profile] = [rbac, netpol, admission, secret, detection, egress]

private let rbac = Profile(
    name: "rbac", label: "rbac", job: "rbac", weight: 30,
    probes: ["rbac-cross-namespace-read", "rbac-escalate-clusterrole", "rbac-impersonate-user", "rbac-secrets-list"],
    mappings: [
        Mapping(
            frameworks: #"""
                {"cmmc":["AC.L2-3.1.1","AC.L2-3.1.5"],\#
                "nist-800-53":["AC-3","AC-6","AC-6(5)"]}
                """#, nist: #"["AC-3","AC-6","AC-6(5)"]"#),
        Mapping(
            frameworks: #"""
                {"cjis":["5.5.2"],"irs-1075":["9.3.1.2"],"kubernetes-stig":["CNTR-K8-000220"],\#
                "nist-800-53":["AC-2","AC-3"]}
                """#, nist: #"["AC-2","AC-3"]"#),
    ],
    scenarios: [
        Scenario(
            outcome: "Pass", effectiveness: "Effective", weight: 880,
            sentences: [
                Sentence(
                    "All 14 attempts in ",
                    " were denied with 403."),
                Sentence("Escalation by bind in ", " was refused by RBAC."),
            ]),
        Scenario(
            outcome: "Fail", effectiveness: "Ineffective", weight: 80,
            sentences: [
                Sentence(
                    "Service account of namespace ",
                    " could list secrets of another namespace through an aggregated ClusterRole."),
                Sentence("Impersonation from ", " succeeded although no binding grants it to this subject."),
            ]),
        Scenario(
            outcome: "Indeterminate", effectiveness: "Degraded", weight: 40,
            sentences: [Sentence("The API server answered 429 during the probe of ", "; three checks were not made.")]),
    ], modes: ["DirectAPI", "SubjectAccessReview"], techniques: [])

private let netpol = Profile(
    name: "netpol", label: "netpol", job: "netpol", weight: 24,
    probes: ["netpol-deny-cross-namespace", "netpol-deny-metadata-service", "netpol-deny-egress-internet"],
    mappings: [
        Mapping(
            frameworks: #"""
                {"cmmc":["SC.L2-3.13.1","SC.L2-3.13.6"],\#
                "nist-800-53":["AC-4","SC-7","SC-7(5)"]}
                """#, nist: #"["AC-4","SC-7","SC-7(5)"]"#),
        Mapping(
            frameworks: #"""
                {"cjis":["5.10.1.1"],"hipaa":["164.312(e)(1)"],\#
                "nist-800-53":["SC-7","SC-8"]}
                """#, nist: #"["SC-7","SC-8"]"#),
    ],
    scenarios: [
        Scenario(
            outcome: "Blocked", effectiveness: "Effective", weight: 900,
            sentences: [
                Sentence(
                    "TCP connections to 6 services of ",
                    " timed out after 3 s each."),
                Sentence("Traffic from the probe to pods of ", " was dropped by default-deny."),
            ]),
        Scenario(
            outcome: "NotEnforced", effectiveness: "Ineffective", weight: 60,
            sentences: [
                Sentence("A connection to a pod of ", " was accepted although a policy selects it; no CNI enforces it.")
            ]),
        Scenario(
            outcome: "BackendUnreachable", effectiveness: "Degraded", weight: 40,
            sentences: [
                Sentence("The flow log of the CNI could not be read while probing ", ": context deadline exceeded.")
            ]),
    ], modes: ["FlowLog", "TCPInference"], techniques: [])

private let admission = Profile(
    name: "admission", label: "admission", job: "admission", weight: 18,
    probes: ["admission-privileged-pod", "admission-unsigned-image", "admission-host-path"],
    mappings: [
        Mapping(
            frameworks: #"""
                {"cmmc":["CM.L2-3.4.2"],"kubernetes-stig":["CNTR-K8-002010","CNTR-K8-002011"],\#
                "nist-800-53":["CM-6","CM-7","SI-7"]}
                """#, nist: #"["CM-6","CM-7","SI-7"]"#)
    ],
    scenarios: [
        Scenario(
            outcome: "Rejected", effectiveness: "Effective", weight: 930,
            sentences: [
                Sentence("A privileged pod in ", " was rejected by Pod Security."),
                Sentence("An unsigned image in ", " was rejected by policy."),
            ]),
        Scenario(
            outcome: "Accepted", effectiveness: "Ineffective", weight: 50,
            sentences: [Sentence("A pod with hostPath /etc was admitted to ", " and removed by the probe after 2 s.")]),
        Scenario(
            outcome: "NotApplicable", effectiveness: "Degraded", weight: 20,
            sentences: [Sentence("Namespace ", " is exempt from the policy that this probe exercises.")]),
    ], modes: ["DryRun", "Live"], techniques: [])

private let secret = Profile(
    name: "secret", label: "secret", job: "secret", weight: 14,
    probes: ["secret-cross-namespace-mount", "secret-env-exposure"],
    mappings: [
        Mapping(
            frameworks: #"""
                {"cmmc":["IA.L2-3.5.10","SC.L2-3.13.16"],"hipaa":["164.312(a)(2)(iv)"],\#
                "nist-800-171":["3.5.10","3.13.16"],"nist-800-53":["AC-3",\#
                "IA-5","SC-28"]}
                """#, nist: #"["AC-3","IA-5","SC-28"]"#)
    ],
    scenarios: [
        Scenario(
            outcome: "Pass", effectiveness: "Effective", weight: 930,
            sentences: [Sentence("No secret of ", " could be read or mounted from outside.")]
        ),
        Scenario(
            outcome: "Fail", effectiveness: "Ineffective", weight: 70,
            sentences: [
                Sentence("A secret of namespace ", " was readable through the environment of a debug container.")
            ]),
    ], modes: ["DirectAPI"], techniques: [])

private let detection = Profile(
    name: "detection", label: "detection", job: "detection", weight: 10,
    probes: ["detection-shell-in-container", "detection-token-theft", "detection-crypto-miner"],
    mappings: [
        Mapping(
            frameworks: #"""
                {"cjis":["5.4.1"],"cmmc":["AU.L2-3.3.1","SI.L2-3.14.6"],\#
                "nist-800-53":["AU-6","SI-4","SI-4(2)"]}
                """#, nist: #"["AU-6","SI-4","SI-4(2)"]"#)
    ],
    scenarios: [
        Scenario(
            outcome: "Detected", effectiveness: "Effective", weight: 850,
            sentences: [
                Sentence("The sensor raised an alert 4 s after the synthetic system call pattern ran in ", ".")
            ]),
        Scenario(
            outcome: "Undetected", effectiveness: "Ineffective", weight: 110,
            sentences: [Sentence("No alert was raised within 60 s of the synthetic pattern in ", ".")]),
        Scenario(
            outcome: "BackendUnreachable", effectiveness: "Degraded", weight: 40,
            sentences: [Sentence("The detection backend did not answer while probing ", ": connection refused.")]),
    ], modes: ["BackendQuery", "WebhookReceipt"], techniques: ["T1611", "T1552.007", "T1059.004", "T1496", "T1613"])

private let egress = Profile(
    name: "acme.gov/egress", label: "acme.gov_egress", job: "egress", weight: 4, probes: ["egress-partner-network"],
    mappings: [
        Mapping(
            frameworks: #"""
                {"acme-baseline":["NET-12","NET-14"],"nist-800-53":["SC-7(8)","SC-7(10)"]}
                """#, nist: #"["SC-7(8)","SC-7(10)"]"#)
    ],
    scenarios: [
        Scenario(
            outcome: "Blocked", effectiveness: "Effective", weight: 950,
            sentences: [Sentence("The egress gateway refused 3 destinations that are not on the list of ", ".")]),
        Scenario(
            outcome: "NotEnforced", effectiveness: "Ineffective", weight: 50,
            sentences: [Sentence("A destination outside the list was reached from ", " through a node port.")]),
    ], modes: ["GatewayLog"], techniques: [])
