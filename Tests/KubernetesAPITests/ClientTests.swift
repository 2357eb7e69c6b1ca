import Foundation
import HTTPClient
import Model
import Testing

@testable import Coordinator
@testable import KubernetesAPI

@Suite struct ClientTests {
    private func withServer(
        _ answers: [CannedServer.Answer], user: ClusterUser = .token(Secret("hunter2")), concurrency: Int = 8,
        _ body: (CannedServer, KubernetesClient) async throws -> Void
    ) async throws {
        let server = try CannedServer(answers)
        defer { server.stop() }
        let access = ClusterAccess(
            server: "http://127.0.0.1:\(server.port)/prefix", tls: TLSSettings(), user: user, proxy: "",
            impersonation: Impersonation(user: "auditor"), origin: "a test")
        let client = KubernetesClient(access, concurrency: concurrency, environment: .none, seed: 1)
        do {
            try await body(server, client)
        } catch {
            await client.shutdown()
            throw error
        }
        await client.shutdown()
    }

    private func patch(_ client: KubernetesClient, milliseconds: UInt64 = 30_000) async -> APIFailure? {
        do throws(APIFailure) {
            _ = try await client.patch(
                .probeResults, namespace: "n", name: "r", patch: Array("{}".utf8), milliseconds: milliseconds)
            return nil
        } catch {
            return error
        }
    }

    @Test func requestSaysWhatItShould() async throws {
        try await withServer([.status(200)]) { server, client in
            #expect(await patch(client) == nil)
            let lines = server.requests[0].split(separator: "\r\n").map(String.init)
            let path = "/prefix/apis/sidereal.cloud/v1alpha1/namespaces/n/siderealproberesults/r?timeout=24s"
            #expect(lines[0] == "PATCH \(path) HTTP/1.1")
            for line in [
                "Authorization: Bearer hunter2", "Accept: application/json", "Impersonate-User: auditor",
                "Content-Type: application/merge-patch+json", "User-Agent: sidereal-export/\(ExporterVersion.current)",
            ] { #expect(lines.contains(line), "\(line)") }
            #expect(lines.last == "{}")
        }
    }

    /// Each patch under way has a connection, and the next one goes over the one that was used last.
    @Test func patchesKeepTheirConnections() async throws {
        let answers = [CannedServer.Answer](repeating: .status(200), count: 40)
        try await withServer(answers, concurrency: 4) { server, client in
            for _ in 0..<8 { #expect(await patch(client) == nil) }
            #expect(server.connections == 1)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<32 { group.addTask { #expect(await patch(client) == nil) } }
            }
            #expect(server.requests.count == 40)
            #expect((1...4).contains(server.connections), "\(server.connections)")
        }
    }

    /// What one patch over a silent connection is denied, the next one has.
    @Test func silentConnectionsOfPatchesAreLeft() async throws {
        try await withServer([.status(200), .silence(10_000), .status(200)]) { server, client in
            #expect(await patch(client) == nil)
            let lost = await patch(client, milliseconds: 500)
            #expect(lost?.kind == .noAnswer && lost?.mayHaveHappened == true)
            #expect(await patch(client) == nil)
            #expect(server.connections == 2)
        }
    }

    @Test func nothingIsSentAfterTheEnd() async throws {
        try await withServer([.status(200), .status(200)]) { server, client in
            await client.shutdown()
            #expect(await patch(client)?.mayHaveHappened == false)
            #expect(await patch(client)?.mayHaveHappened == false)
            #expect(server.connections == 0)
        }
    }

    @Test func throttlingIsWaitedOut() async throws {
        try await withServer([
            .status(429, fields: "Retry-After: 1\r\n"), .status(429, fields: "Retry-After: 1\r\n"), .status(200),
        ]) { server, client in
            let begun = ContinuousClock.now
            #expect(await patch(client, milliseconds: 240_000) == nil)
            #expect(ContinuousClock.now - begun >= .seconds(2) && server.requests.count == 3)
        }
        try await withServer([.status(429, fields: "Retry-After: 60\r\n"), .status(200)]) { server, client in
            // Not even with jitter is there time for that.
            let failure = await patch(client, milliseconds: 50_000)
            #expect(failure?.kind == .throttled && failure?.retryAfter == 60_000 && server.requests.count == 1)
        }
    }

    /// Only 429 says by itself that nothing was done.
    @Test(arguments: [500, 502, 503, 504]) func serverErrorsAreNotSentAgain(code: Int) async throws {
        try await withServer([.status(code, fields: "Retry-After: 1\r\n"), .status(200)]) { server, client in
            let failure = await patch(client)
            #expect(failure?.kind == .serverError && failure?.mayHaveHappened == true && failure?.retryAfter == 1_000)
            #expect(server.requests.count == 1)
        }
    }

    @Test func withoutAnAnswerTheOutcomeIsUnknown() async throws {
        try await withServer([.hangUp, .silence(3_000), .status(200)]) { server, client in
            let cut = await patch(client)
            #expect(cut?.kind == .noAnswer && cut?.mayHaveHappened == true)
            let slow = await patch(client, milliseconds: 400)
            #expect(slow?.kind == .noAnswer && slow?.mayHaveHappened == true)
            #expect(server.requests.count == 2, "a patch is sent once")
            #expect([cut, slow].allSatisfy { $0.map { !"\($0)".contains("hunter2") } == true })
        }
    }

    @Test func whatIsNotSentDidNotHappen() async throws {
        try await withServer([]) { server, client in
            let bad = await #expect(throws: APIFailure.self) {
                _ = try await client.get(.probeResults, namespace: "n", name: "../x")
            }
            #expect(bad?.kind == .notSent && bad?.mayHaveHappened == false && server.requests.isEmpty)
            server.stop()
        }
        try await withServer([], user: .tokenFile("/nowhere/token")) { server, client in
            let failure = await patch(client)
            #expect(failure?.kind == .noCredential && failure?.mayHaveHappened == false)
            #expect(failure.map { "\($0)".contains("/nowhere/token") } == true && server.requests.isEmpty)
        }
    }

    /// What a credential took to come is gone from the call's time.
    @Test func callIsNotSentAfterItsTime() async throws {
        let scratch = try Scratch()
        try scratch.write(
            "plugin",
            """
            sleep 1.5
            echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t"}}'
            """)
        let plugin = ExecPlugin(version: .v1, command: "/bin/sh", arguments: [scratch.path + "/plugin"])
        try await withServer([.status(200)], user: .plugin(plugin)) { server, client in
            let failure = await patch(client, milliseconds: 1_000)
            #expect(failure?.kind == .notSent && failure?.mayHaveHappened == false && server.requests.isEmpty)
            #expect(await patch(client, milliseconds: 60_000) == nil)
        }
    }

    /// Whoever finds no place, or no credential, in the time it has is told so then, and not when there is one.
    @Test func nobodyWaitsLongerThanItMay() async throws {
        try await withServer([.silence(300_000)], concurrency: 1) { server, client in
            let slow = Task { await patch(client, milliseconds: 200_000) }
            while server.requests.isEmpty { await Task.yield() }
            let hasEnded = Mutexed(false)
            let watcher = Task {
                _ = await slow.value
                hasEnded.change { $0 = true }
            }
            let failure = await patch(client, milliseconds: 300)
            #expect(failure?.kind == .notSent && failure?.description.contains("300 ms passed") == true)
            #expect(!hasEnded.value, "the place is still taken")
            slow.cancel()
            await watcher.value
        }
        let scratch = try Scratch()
        try scratch.write(
            "plugin",
            """
            while [ ! -e \(scratch.path)/go ]; do sleep 0.05; done
            echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t"}}'
            """)
        let plugin = ExecPlugin(version: .v1, command: "/bin/sh", arguments: [scratch.path + "/plugin"])
        try await withServer([.status(200)], user: .plugin(plugin)) { server, client in
            let failure = await patch(client, milliseconds: 300)
            #expect(failure?.kind == .notSent, "\(failure?.description ?? "")")
            #expect(failure?.description.contains("/bin/sh has not answered") == true && server.requests.isEmpty)
            try scratch.write("go", "")
            #expect(await patch(client, milliseconds: 60_000) == nil, "what it gives then is for whoever asks next")
        }
    }

    /// The list of alerts does not wait behind results either.
    @Test func urgentListGoesBeforeOthers() async throws {
        let empty = #"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#
        let answers: [CannedServer.Answer] = [.status(200), .silence(120_000), .status(200, body: empty)]
        try await withServer(answers, concurrency: 1) { server, client in
            // Until it has answered, nobody knows whether its connection could be shared.
            #expect(await patch(client) == nil)
            let slow = Task { await patch(client, milliseconds: 100_000) }
            while server.requests.count < 2 { await Task.yield() }
            let cluster = KubernetesCluster(
                client: client, namespace: "n", requestMilliseconds: 20_000, confirmedMilliseconds: 60_000)
            let alerts = try await KubernetesAlerts(cluster).readAlerts()
            #expect(alerts.isEmpty)
            slow.cancel()
            #expect(await slow.value?.kind == .cancelled)
        }
    }

    /// Refused once, fetched anew, taken; a credential that cannot change is not tried twice.
    @Test func refusedCredentialIsFetchedAnewOnce() async throws {
        let scratch = try Scratch()
        try scratch.write("token", "old")
        let token = Mutexed("old")
        let answers = Array(repeating: CannedServer.Answer.token(token), count: 10)
        try await withServer(answers, user: .tokenFile(scratch.path + "/token")) { server, client in
            #expect(await patch(client) == nil)
            try scratch.write("token", "new")
            token.change { $0 = "new" }
            #expect(await patch(client) == nil)
            token.change { $0 = "another" }
            let before = server.requests.count
            #expect(await patch(client)?.kind == .unauthorized)
            #expect(server.requests.count == before + 1)
        }
        try await withServer([.status(401), .status(200)]) { server, client in
            #expect(await patch(client)?.kind == .unauthorized)
            #expect(server.requests.count == 1)
        }
    }

    @Test func nonsenseIsUnreadable() async throws {
        try await withServer([.status(200, body: "<html>"), .status(200, body: "{}{}"), .status(200, body: "x")]) {
            server, client in
            let list = await #expect(throws: APIFailure.self) { _ = try await client.list(ListQuest(.probeResults)) }
            #expect(list?.kind == .unreadable)
            let lease = await #expect(throws: APIFailure.self) {
                _ = try await client.updateLease(Lease(namespace: "n", name: "l"))
            }
            #expect(lease?.kind == .unreadable && lease?.mayHaveHappened == true)
            let watch = await #expect(throws: APIFailure.self) {
                let stream = try await client.watch(WatchQuest(.probeResults, resourceVersion: "1"))
                _ = try await stream.next()
            }
            #expect(watch?.kind == .unreadable)
        }
    }

    @Test func watchSaysWhyItIsRefused() async throws {
        let body = Samples.status410
        try await withServer([.status(429, fields: "Retry-After: 4\r\n"), .status(410, body: body)]) { server, client in
            func open() async -> APIFailure? {
                await #expect(throws: APIFailure.self) {
                    _ = try await client.watch(WatchQuest(.probeResults, resourceVersion: "1"))
                }
            }
            let busy = await open()
            #expect(busy?.kind == .throttled && busy?.retryAfter == 4_000)
            let gone = await open()
            #expect(gone?.kind == .expired(continueToken: nil) && gone?.reason == "Expired")
        }
    }

    @Test func cancelledCallsAreNotSent() async throws {
        try await withServer([.silence(120_000)]) { server, client in
            let task = Task { await patch(client) }
            while server.requests.isEmpty { await Task.yield() }
            task.cancel()
            #expect(await task.value?.kind == .cancelled)
        }
    }
}

@Suite struct LeaseTests {
    @Test func whatIsWrittenIsRead() throws {
        var lease = Lease(namespace: "n", name: "l")
        lease.holder = "a\"b"
        lease.durationSeconds = 15
        lease.transitions = 3
        lease.renewed = -1
        lease.resourceVersion = "7"
        lease.annotations = ["b": "2", "a": "1"]
        #expect(
            String(decoding: lease.object, as: UTF8.self)
                == #"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l","namespace":"n","annotations":"#
                + #"{"a":"1","b":"2"}},"spec":{"holderIdentity":"a\"b","leaseDurationSeconds":15,"leaseTransitions":3,"#
                + #""renewTime":"1969-12-31T23:59:59.999999Z"}}"#)
        #expect(
            String(decoding: lease.patch, as: UTF8.self).hasPrefix(
                #"{"metadata":{"resourceVersion":"7","annotations":"#))
        let stored = String(decoding: lease.object, as: UTF8.self).replacing(
            #""name":"l""#, with: #""name":"l","resourceVersion":"7""#)
        #expect(Lease(json: Array(stored.utf8)) == lease)
    }

    @Test(arguments: [
        "", "[]", "{}", "{", #"{"kind":"Lease"}"#, #"{"kind":"Lease","metadata":{"name":"a"}}"#,
        #"{"kind":"Pod","metadata":{"name":"a","resourceVersion":"1"}}"#, #"{"kind":"Lease","metadata":7,"spec":8}"#,
    ])
    func whatIsNoLeaseIsNone(text: String) { #expect(Lease(json: Array(text.utf8)) == nil) }

    @Test func wrongKindsOfValuesAreAbsent() throws {
        let text =
            #"{"kind":"Lease","metadata":{"name":"a","resourceVersion":"1","annotations":{"x":7,"y":"z"}},"spec":"#
            + #"{"holderIdentity":null,"leaseDurationSeconds":"15","leaseTransitions":1e3,"renewTime":"soon"}}"#
        let lease = try #require(Lease(json: Array(text.utf8)))
        #expect(lease.holder.isEmpty && lease.durationSeconds == 0 && lease.transitions == 0 && lease.renewed == nil)
        #expect(lease.annotations == ["y": "z"])
    }
}
