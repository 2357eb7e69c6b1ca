import HTTPClient
import Model
import Testing

@testable import KubernetesAPI

@Suite struct APICallTests {
    private static func status(_ code: Int, _ reason: String, _ message: String, _ rest: String = "") -> HTTPResponse {
        HTTPResponse(
            status: code,
            body: Array(
                (#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"\#(message)","#
                    + #""reason":"\#(reason)"\#(rest),"code":\#(code)}"#).utf8))
    }

    private static let patch = APICall(.patch, .probeResults, namespace: "team-a", name: "r-1", body: SealedBytes([]))

    @Test func pathsOfEveryVerb() {
        let namespaced = "/apis/sidereal.cloud/v1alpha1/namespaces/team-a/siderealproberesults"
        for (verb, name, target, method) in [
            (.get, "r-1", namespaced + "/r-1?timeout=24s", .get), (.list, nil, namespaced + "?timeout=24s", .get),
            (.watch, nil, namespaced, .get), (.create, nil, namespaced + "?timeout=24s", .post),
            (.update, "r-1", namespaced + "/r-1?timeout=24s", .put),
            (.patch, "r-1", namespaced + "/r-1?timeout=24s", .patch),
            (.delete, "r-1", namespaced + "/r-1?timeout=24s", .delete),
        ] as [(APIVerb, String?, String, HTTPMethod)] {
            let call = APICall(verb, .probeResults, namespace: "team-a", name: name)
            #expect(call.target == target && call.method == method, "\(verb)")
        }
        #expect(
            APICall(.list, .probeResults).target
                == "/apis/sidereal.cloud/v1alpha1/siderealproberesults?timeout=24s")
        let core = APIResource(group: "", version: "v1", plural: "nodes", kind: "Node", isNamespaced: false)
        #expect(APICall(.watch, core).target == "/api/v1/nodes" && "\(core)" == "nodes")
        var quest = ListQuest(.probeResults)
        quest.limit = 9_999
        quest.continueToken = "a+b/c="
        quest.fieldSelector = "spec.audit.exportStatus!=Exported"
        #expect(
            quest.call.target?.contains(
                "?limit=500&continue=a%2Bb%2Fc%3D&fieldSelector=spec.audit.exportStatus%21%3DExported&timeout=48s"
            )
                == true)
        #expect(
            WatchQuest(.leases, namespace: "n", resourceVersion: "7").call.target
                == "/apis/coordination.k8s.io/v1/namespaces/n/leases?watch=1&resourceVersion=7&allowWatchBookmarks=true"
                + "&timeoutSeconds=300")
    }

    /// Nothing that comes from objects of others can lead a path elsewhere.
    @Test(arguments: ["", "..", ".", "a/b", "a?b", "a%2fb", "A", "a_b", "-a", "a-", "a..b", "ä", "a b", "a\n", "a:b"])
    func namesThatAreNone(name: String) {
        #expect(APICall(.get, .probeResults, namespace: "n", name: name).target == nil)
        #expect(APICall(.list, .probeResults, namespace: name).target == nil)
    }

    @Test func partsThatAreMissing() {
        #expect(APICall(.get, .probeResults, name: "r").target == nil)
        #expect(APICall(.get, .probeResults, namespace: "n").target == nil)
        #expect(APICall(.create, .probeResults, namespace: "n", name: "r").target == nil)
        #expect(APICall(.get, .probeResults, namespace: "a.b", name: "r").target == nil)
        #expect(APICall(.get, .probeResults, namespace: "n", name: "a.b").target != nil)
    }

    @Test func missingPermissionIsSaidSoThatItCanBePasted() throws {
        let answer = Self.status(
            403, "Forbidden",
            #"siderealproberesults.sidereal.cloud \"r-1\" is forbidden: User \"system:serviceaccount:s:x\" cannot patch resource "#
                + #"\"siderealproberesults\" in API group \"sidereal.cloud\" in the namespace \"team-a\""#)
        let failure = try #require(APIVerdict.failure(Self.patch, answer))
        // Results lie in all namespaces: a rule for one would only have the next one refused.
        #expect(
            failure.kind == .forbidden(MissingPermission(verb: .patch, resource: .probeResults, namespace: nil)))
        #expect(
            failure.description.hasPrefix(
                "patch siderealproberesults.sidereal.cloud team-a/r-1: 403 Forbidden: sidereal"))
        #expect(
            failure.description.hasSuffix(
                #"; add to the rules of a ClusterRole that a ClusterRoleBinding binds to this user: "#
                    + #"- {apiGroups: ["sidereal.cloud"], resources: ["siderealproberesults"], verbs: ["patch"]}"#))
        #expect(!failure.mayHaveHappened && failure.code == 403)
        let lease = try #require(
            APIVerdict.failure(
                APICall(.create, .leases, namespace: "s"), Self.status(403, "Forbidden", "u cannot create resource x")))
        #expect(
            lease.description.hasSuffix(
                #"; add to the rules of a Role in namespace s that is bound to this user: "#
                    + #"- {apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"]}"#))
        let list = try #require(
            APIVerdict.failure(APICall(.list, .probeResults), Self.status(403, "Forbidden", "u cannot list resource x"))
        )
        #expect(list.description.contains("add to the rules of a ClusterRole that a ClusterRoleBinding binds"))
        let policy = try #require(
            APIVerdict.failure(Self.patch, Self.status(403, "Forbidden", "denied by the policy append-only")))
        #expect(policy.kind == .forbidden(nil) && !policy.description.contains("Role"))
    }

    @Test func everyCodeHasItsKind() {
        let cases: [(code: Int, reason: String, message: String, kind: APIFailure.Kind, unknown: Bool)] = [
            (400, "BadRequest", "x", .rejected, false), (401, "Unauthorized", "x", .unauthorized, false),
            (404, "NotFound", "x", .notFound, false), (409, "Conflict", "x", .conflict, false),
            (409, "AlreadyExists", "x", .alreadyExists, false),
            (410, "Expired", "x", .expired(continueToken: nil), false),
            (413, "RequestEntityTooLarge", "x", .tooLarge, false), (422, "Invalid", "x", .rejected, false),
            (429, "TooManyRequests", "x", .throttled, false), (500, "InternalError", "x", .serverError, true),
            (502, "", "x", .serverError, true), (503, "ServiceUnavailable", "x", .serverError, true),
            (504, "Timeout", "x", .serverError, true),
            (504, "Timeout", "Too large resource version: 9, current: 3", .expired(continueToken: nil), true),
            // Not an API server's words: a middleman's, who may say something else in a moment.
            (307, "", "x", .serverError, false), (403, "", "<html>", .serverError, false),
            (408, "", "x", .serverError, false),
        ]
        for (code, reason, message, kind, unknown) in cases {
            let failure = APIVerdict.failure(Self.patch, Self.status(code, reason, message))
            #expect(failure?.kind == kind && failure?.mayHaveHappened == unknown, "\(code)")
            #expect(failure?.code == code && failure?.reason == reason && "\(failure!)".contains("\(code)"))
            // What only reads has changed nothing.
            let read = APIVerdict.failure(APICall(.list, .probeResults), Self.status(code, reason, message))
            #expect(read?.mayHaveHappened == false)
        }
        for code in 200..<300 { #expect(APIVerdict.failure(Self.patch, HTTPResponse(status: code)) == nil) }
    }

    /// Mistakes of whoever set the coordinator up, in the words of what there is to be set.
    @Test func whatCanBeMendedIsSaid() throws {
        let create = APICall(.create, .leases, namespace: "nowhere", body: SealedBytes([]))
        let nowhere = Self.status(404, "NotFound", #"namespaces \"nowhere\" not found"#)
        #expect(try #require(APIVerdict.failure(create, nowhere)).description.hasSuffix("with --namespace"))
        let gone = Self.status(404, "NotFound", #"leases \"x\" not found"#)
        #expect(try #require(APIVerdict.failure(create, gone)).description.hasSuffix("not found"))
        let stranger = HTTPFailure(kind: .tls(reason: .unknownAuthority), message: "m", mayHaveReachedServer: false)
        #expect(APIVerdict.failure(create, stranger).description.contains("certificate-authority-data"))
        let silent = HTTPFailure(kind: .connect, message: "m", mayHaveReachedServer: false)
        #expect(!APIVerdict.failure(create, silent).description.contains("kubeconfig"))
    }

    @Test func expiredListsSayWhereToGoOn() {
        let body = Self.status(410, "Expired", "x").body
        let text = String(decoding: body, as: UTF8.self).replacing(
            #""metadata":{}"#, with: #""metadata":{"resourceVersion":"9","continue":"tok"}"#)
        let failure = APIVerdict.failure(
            APICall(.list, .probeResults), HTTPResponse(status: 410, body: Array(text.utf8)))
        #expect(failure?.kind == .expired(continueToken: "tok"))
    }

    @Test func retryAfterIsReadFromBothPlaces() {
        func wait(_ header: String?, _ rest: String = "") -> UInt64? {
            let answer = Self.status(429, "TooManyRequests", "x", rest)
            let whole = HTTPResponse(
                status: 429, headers: header.map { [("Retry-After", $0)] } ?? [], body: answer.body)
            return APIVerdict.failure(Self.patch, whole)?.retryAfter
        }
        #expect(wait("7") == 7_000 && wait("999999") == 300_000 && wait("-1") == nil && wait(nil) == nil)
        #expect(wait(nil, #","details":{"retryAfterSeconds":3}"#) == 3_000)
        #expect(wait("Wed, 21 Oct 2026 07:28:00 GMT") == nil && wait("9223372036854775807") == 300_000)
    }

    /// Middlemen answer in HTML, with control characters, or with nothing.
    @Test func foreignAnswersAreQuotedOnOneLine() {
        let html = Array(
            "<html>\r\n<body>\u{1B}[31mgateway \u{7}down</body>\(String(repeating: "x", count: 9_000))".utf8)
        let failure = APIVerdict.failure(Self.patch, HTTPResponse(status: 502, body: html))
        let text = failure?.description ?? ""
        #expect(text.contains("<html> <body> [31mgateway down</body>") && text.utf8.count < 600)
        #expect(text.utf8.allSatisfy { $0 >= 0x20 } && text.contains("the server may have carried it out"))
        #expect(APIVerdict.failure(Self.patch, HTTPResponse(status: 500, body: []))?.kind == .serverError)
        #expect(APIVerdict.failure(Self.patch, HTTPResponse(status: 500, body: [0xFF, 0xFE]))?.kind == .serverError)
    }

    @Test func unansweredIsUnknownAndUnsentIsNot() {
        func failure(_ call: APICall, _ kind: HTTPFailure.Kind, sent: Bool) -> APIFailure {
            APIVerdict.failure(call, HTTPFailure(kind: kind, message: "m", mayHaveReachedServer: sent))
        }
        let timeout = failure(Self.patch, .timeout(phase: .total), sent: true)
        #expect(timeout.kind == .noAnswer && timeout.mayHaveHappened && timeout.code == nil)
        let refused = failure(Self.patch, .connect, sent: false)
        #expect(refused.kind == .notSent && !refused.mayHaveHappened)
        #expect(!failure(APICall(.list, .probeResults), .connectionLost, sent: true).mayHaveHappened)
        #expect(failure(Self.patch, .cancelled, sent: true).kind == .cancelled)
        #expect(failure(Self.patch, .responseTooLarge, sent: true).kind == .tooLarge)
        #expect(failure(Self.patch, .shutDown, sent: false).kind == .shutDown)
    }

    @Test func onlyWhatWasNotDoneIsSentAgain() {
        var rng = PRNG(seed: 1)
        var effort = Effort(Self.patch, now: Tick(nanoseconds: 0))
        func step(_ answer: HTTPResponse, _ milliseconds: UInt64 = 0) -> String {
            switch effort.took(answer, now: Tick(nanoseconds: milliseconds * 1_000_000), rng: &rng) {
            case .done: "done"
            case .wait(let milliseconds): milliseconds >= 2_000 && milliseconds < 3_250 ? "wait" : "\(milliseconds)"
            case .renew: "renew"
            case .fail(let failure): "\(failure.kind)"
            }
        }
        let busy = Self.status(429, "TooManyRequests", "x", #","details":{"retryAfterSeconds":2}"#)
        #expect(step(busy) == "wait" && step(busy, 20_000) == "wait")
        #expect(step(busy, 29_000) == "throttled", "there is no time left to wait")
        #expect(step(Self.status(401, "Unauthorized", "x")) == "renew")
        #expect(step(Self.status(401, "Unauthorized", "x")) == "unauthorized")
        #expect(step(Self.status(503, "x", "x")) == "serverError" && step(HTTPResponse(status: 200)) == "done")
        for _ in 3..<Effort.maxWaits { #expect(step(busy) == "wait") }
        #expect(step(busy) == "throttled")
    }
}

@Suite struct TurnstileTests {
    @Test func urgentOnesHavePlacesOfTheirOwn() async {
        let turnstile = Turnstile(places: 2, reserved: 1)
        #expect(await turnstile.enter(isUrgent: false, within: 600_000) == .inside)
        #expect(await turnstile.enter(isUrgent: false, within: 600_000) == .inside)
        #expect(await turnstile.enter(isUrgent: true, within: 600_000) == .inside)
        let order = Mutexed<[String]>([])
        await withTaskGroup(of: Void.self) { group in
            for (name, isUrgent) in [("a", false), ("b", false), ("u", true), ("never", false)] {
                let before = turnstile.waiting
                group.addTask {
                    if await turnstile.enter(isUrgent: isUrgent, within: 600_000) == .inside {
                        order.change { $0.append(name) }
                    }
                }
                while turnstile.waiting == before { await Task.yield() }
            }
            turnstile.leave()
            while order.value.count < 1 { await Task.yield() }
            // Three are inside still, and only urgent ones may be the third.
            turnstile.leave()
            #expect(turnstile.waiting == 3)
            turnstile.leave()
            while order.value.count < 2 { await Task.yield() }
            turnstile.leave()
            while order.value.count < 3 { await Task.yield() }
            #expect(order.value == ["u", "a", "b"] && turnstile.waiting == 1)
            group.cancelAll()
        }
        #expect(order.value.count == 3 && turnstile.waiting == 0)
    }

    @Test func tooManyAreTurnedAway() async {
        let turnstile = Turnstile(places: 1, reserved: 1)
        #expect(await turnstile.enter(isUrgent: false, within: 600_000) == .inside)
        let entries = await withTaskGroup(of: Turnstile.Entry.self) { group in
            for _ in 0...Turnstile.mostWaiting {
                group.addTask { await turnstile.enter(isUrgent: false, within: 600_000) }
            }
            let first = await group.next()
            group.cancelAll()
            return await group.reduce(into: [first]) { $0.append($1) }
        }
        #expect(entries.first == .full && entries.dropFirst().allSatisfy { $0 == .cancelled })
    }
}
