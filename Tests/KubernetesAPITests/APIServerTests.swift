import Crypto
import Foundation
import HTTPClient
import Model
import Protocol
import Testing

@testable import KubernetesAPI

/// Against a real etcd and kube-apiserver; see ``TestCluster``.
@Suite(.serialized, .timeLimit(.minutes(5))) struct APIServerTests {
    /// Runs `body` with a client that may do everything, and a namespace of its own.
    func withCluster(
        _ body: (TestCluster, KubernetesClient, String) async throws -> Void
    ) async throws {
        let cluster = try await TestCluster.shared()
        let client = cluster.client(token: "admin-token")
        do {
            try await body(cluster, client, try await cluster.namespace(client))
        } catch {
            await client.shutdown()
            throw error
        }
        await client.shutdown()
    }

    func failure(_ call: () async throws -> Void) async -> APIFailure? {
        do {
            try await call()
            return nil
        } catch {
            return error as? APIFailure
        }
    }

    @Test func everyKindOfCredential() async throws {
        try await withCluster { cluster, _, namespace in
            let scratch = try Scratch()
            try scratch.write("token", "wrong\n")
            try scratch.write(
                "plugin",
                #"printf %s '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","#
                    + #""status":{"token":"admin-token"}}'"#)
            var byData = cluster.access()
            byData.tls = TLSSettings()
            byData.tls.inMemory = PEMData(
                authorities: SealedBytes(Array(try cluster.text("ca.crt").utf8)),
                certificate: SealedBytes(Array(try cluster.text("alice.crt").utf8)),
                key: Secret(try cluster.text("alice.key")))
            var byFiles = cluster.access()
            byFiles.tls.certificateFile = cluster.path("alice.crt")
            byFiles.tls.keyFile = cluster.path("alice.key")
            var byName = cluster.access(.token(Secret("admin-token")))
            byName.tls.serverName = "kubernetes.default.svc"
            let byPlugin = cluster.access(
                .plugin(ExecPlugin(version: .v1beta1, command: "/bin/sh", arguments: [scratch.path + "/plugin"])))
            for access in [byData, byFiles, byName, byPlugin] {
                let client = cluster.client(access)
                #expect(try await client.list(ListQuest(.probeResults, namespace: namespace)).batch.entries.isEmpty)
                await client.shutdown()
            }
            // A token that rotates: refused once, read again, taken.
            let client = cluster.client(cluster.access(.tokenFile(scratch.path + "/token")))
            let refused = await failure { _ = try await client.list(ListQuest(.probeResults, namespace: namespace)) }
            #expect(refused?.kind == .unauthorized && refused?.mayHaveHappened == false)
            try scratch.write("token", "admin-token\n")
            _ = try await client.list(ListQuest(.probeResults, namespace: namespace))
            await client.shutdown()
        }
    }

    /// As in a pod: a token of its service account, authorities and namespace in files, and the rules that it has.
    @Test func podSpeaksAsItsServiceAccount() async throws {
        try await withCluster { cluster, admin, namespace in
            let scratch = try Scratch()
            try scratch.write("token", try await cluster.serviceAccountToken(admin, "exporter", namespace))
            try scratch.write("ca.crt", try cluster.text("ca.crt"))
            try scratch.write("namespace", namespace)
            let variables = ["KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "\(cluster.port)"]
            var access = try ClusterAccess.inCluster(directory: scratch.path) { variables[$0] }
            access.proxy = ""
            let client = cluster.client(access)
            let refused = await failure { _ = try await client.lease(namespace: namespace, name: "leader") }
            #expect(
                refused?.kind == .forbidden(MissingPermission(verb: .get, resource: .leases, namespace: namespace)))
            #expect(
                refused.map { "\($0)".contains("system:serviceaccount:\(namespace):exporter") } == true,
                "\(String(describing: refused))")
            await client.shutdown()
        }
    }

    /// As a person has it: everything in one kubeconfig.
    @Test func kubeconfigIsAllThatIsNeeded() async throws {
        try await withCluster { cluster, admin, namespace in
            func data(_ name: String) throws -> String { Base64.encode(Array(try cluster.text(name).utf8)) }
            let scratch = try Scratch()
            try scratch.write(
                "config",
                """
                apiVersion: v1
                kind: Config
                clusters:
                - name: test
                  cluster: {server: "https://127.0.0.1:\(cluster.port)", certificate-authority-data: \(try data("ca.crt"))}
                users:
                - name: alice
                  user: {client-certificate-data: \(try data("alice.crt")), client-key-data: \(try data("alice.key"))}
                contexts:
                - name: test
                  context: {cluster: test, user: alice, namespace: \(namespace)}
                """)
            var access = try KubeConfig.load(file: scratch.path + "/config", context: "test")
            access.proxy = ""
            let client = cluster.client(access)
            #expect(try await client.list(ListQuest(.probeResults, namespace: access.namespace)).batch.entries.isEmpty)
            await client.shutdown()
        }
    }

    @Test func wrongAuthorityAndWrongNameAreRefusedUnsent() async throws {
        try await withCluster { cluster, _, namespace in
            var byName = cluster.access(.token(Secret("admin-token")))
            byName.tls.serverName = "elsewhere.example"
            var bySystem = cluster.access(.token(Secret("admin-token")))
            bySystem.tls = TLSSettings()
            for access in [byName, bySystem] {
                let client = cluster.client(access)
                let refused = await failure { _ = try await cluster.makeResult(client, "r", namespace) }
                #expect(
                    refused?.kind == .notSent && refused?.mayHaveHappened == false, "\(String(describing: refused))")
                #expect(refused.map { !"\($0)".contains("admin-token") } == true)
                await client.shutdown()
            }
        }
    }

    /// What the error says to add makes it work.
    @Test func missingRuleIsNamed() async throws {
        try await withCluster { cluster, admin, namespace in
            let version = try await cluster.makeResult(admin, "r-1", namespace)
            let worker = cluster.client(token: "worker-token")
            let patch = Array(
                #"{"metadata":{"resourceVersion":"\#(version)"},"spec":{"audit":{"exportStatus":"Failed"}}}"#.utf8)
            func write() async throws {
                _ = try await worker.patch(.probeResults, namespace: namespace, name: "r-1", patch: patch)
            }
            let refused = await failure { try await write() }
            let permission = MissingPermission(verb: .patch, resource: .probeResults, namespace: nil)
            #expect(refused?.kind == .forbidden(permission), "\(String(describing: refused))")
            let all = await failure { _ = try await worker.list(ListQuest(.probeResults)) }
            #expect(all?.kind == .forbidden(MissingPermission(verb: .list, resource: .probeResults, namespace: nil)))
            let watch = await failure {
                _ = try await worker.watch(WatchQuest(.probeResults, namespace: namespace, resourceVersion: "1"))
            }
            #expect(
                watch?.kind == .forbidden(MissingPermission(verb: .watch, resource: .probeResults, namespace: nil)))

            let rule = #"{"apiGroups":["sidereal.cloud"],"resources":["siderealproberesults"],"verbs":["patch"]}"#
            #expect(
                permission.rule == "- "
                    + rule.replacing(#""apiGroups":"#, with: "apiGroups: ").replacing(
                        #","resources":"#, with: ", resources: "
                    ).replacing(#","verbs":"#, with: ", verbs: "))
            let role =
                #"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"w"},"rules":[\#(rule)]}"#
            _ = try await admin.create(.roles, namespace: namespace, object: Array(role.utf8))
            let binding =
                #"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"w"},"roleRef":"#
                + #"{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"w"},"subjects":[{"kind":"User","name":"worker"}]}"#
            _ = try await admin.create(.roleBindings, namespace: namespace, object: Array(binding.utf8))
            var last: APIFailure?
            for _ in 0..<100 {
                last = await failure { try await write() }
                guard case .forbidden = last?.kind else { break }
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(last == nil, "\(String(describing: last))")
            await worker.shutdown()
        }
    }

    @Test func objectsAreMadeReadAndPatchedUnderTheirVersion() async throws {
        try await withCluster { cluster, client, namespace in
            let first = try await cluster.makeResult(client, "r-1", namespace)
            let again = await failure { _ = try await cluster.makeResult(client, "r-1", namespace) }
            #expect(again?.kind == .alreadyExists && again?.reason == "AlreadyExists")
            let made = try await client.list(ListQuest(.probeResults, namespace: namespace))
            let uid = TestCluster.member("uid", made.batch.text(0))
            func patch(_ version: String, name: String = "r-1") -> () async throws -> Void {
                {
                    let body = JSONBody.object { body in
                        body.add("metadata") {
                            $0.add("resourceVersion", version)
                            $0.add("annotations") {
                                $0.add("export.sidereal.cloud/targets", #"{"a":"delivered"}"#)
                                $0.add("export.sidereal.cloud/targets-of", uid)
                            }
                        }
                        body.add("spec") { $0.add("audit") { $0.add("exportStatus", "Exported") } }
                    }
                    _ = try await client.patch(.probeResults, namespace: namespace, name: name, patch: body)
                }
            }
            try await patch(first)()
            let conflict = await failure(patch(first))
            #expect(conflict?.kind == .conflict && conflict?.code == 409 && conflict?.mayHaveHappened == false)
            #expect(await failure(patch(first, name: "r-2"))?.kind == .notFound)
            #expect(try await client.get(.probeResults, namespace: namespace, name: "r-2") == nil)
            let page = try await client.list(ListQuest(.probeResults, namespace: namespace))
            let entry = try #require(page.batch.entries.first)
            #expect(entry.state == .exported && page.batch.name(entry) == "r-1")
            #expect(page.batch.targets(entry) == Array(#"{"a":"delivered"}"#.utf8))
            #expect(entry.createdMilliseconds > 1_700_000_000_000)
            #expect(!page.batch.text(0).contains("managedFields") && page.batch.text(0).contains("SiderealProbeResult"))
            let stored = try #require(try await client.get(.probeResults, namespace: namespace, name: "r-1"))
            #expect(String(decoding: stored, as: UTF8.self).contains("managedFields"))
        }
    }

    @Test func leaseChangesHandsUnderItsVersion() async throws {
        try await withCluster { cluster, client, namespace in
            #expect(try await client.lease(namespace: namespace, name: "leader") == nil)
            var lease = Lease(namespace: namespace, name: "leader")
            lease.holder = "a"
            lease.durationSeconds = 15
            lease.transitions = 1
            lease.acquired = 1_772_359_200_123_456
            lease.renewed = lease.acquired
            lease.annotations = ["export.sidereal.cloud/term": "1", "text": "\"ä\n\""]
            let made = try await client.createLease(lease)
            let read = try #require(try await client.lease(namespace: namespace, name: "leader"))
            #expect(read == made && read.holder == "a" && read.renewed == lease.renewed && read.transitions == 1)
            #expect(read.annotations == lease.annotations && !read.uid.isEmpty)
            #expect(await failure { _ = try await client.createLease(lease) }?.kind == .alreadyExists)

            // What others put there stays.
            _ = try await client.patch(
                .leases, namespace: namespace, name: "leader", patch: Array(#"{"metadata":{"labels":{"a":"b"}}}"#.utf8))
            #expect(await failure { _ = try await client.updateLease(read) }?.kind == .conflict)
            var next = try #require(try await client.lease(namespace: namespace, name: "leader"))
            next.holder = ""
            next.transitions = 2
            let written = try await client.updateLease(next)
            #expect(
                written.holder.isEmpty && written.transitions == 2 && written.resourceVersion != next.resourceVersion)
            let raw = try #require(try await client.get(.leases, namespace: namespace, name: "leader"))
            #expect(String(decoding: raw, as: UTF8.self).contains(#""labels":{"a":"b"}"#))

            _ = try await client.send(APICall(.delete, .leases, namespace: namespace, name: "leader"))
            #expect(await failure { _ = try await client.updateLease(written) }?.kind == .notFound)
        }
    }

    @Test func eventsAreToldOnce() async throws {
        try await withCluster { cluster, client, namespace in
            let event = EventNote(
                namespace: namespace, name: "gate.1", regarding: .leases, regardingName: "sidereal-export-gate",
                reason: "Halted", action: "Halt", isWarning: true, note: String(repeating: "ä", count: 2_000),
                time: 1_772_359_200_123_456, reportingInstance: "pod-1")
            try await client.tell(event)
            try await client.tell(event)
            let stored = try #require(try await client.get(.events, namespace: namespace, name: "gate.1"))
            let text = String(decoding: stored, as: UTF8.self)
            #expect(text.contains(#""reason":"Halted""#) && text.contains("2026-03-01T10:00:00.123456Z"))
        }
    }

    @Test func manyCallsShareOneConnection() async throws {
        try await withCluster { cluster, client, namespace in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<60 {
                    group.addTask { _ = try await cluster.makeResult(client, "r-\(number)", namespace) }
                }
                try await group.waitForAll()
            }
            let established = try String(contentsOfFile: "/proc/net/tcp", encoding: .utf8).split(separator: "\n").count
            {
                let words = $0.split(separator: " ")
                let far = ":" + String(cluster.port, radix: 16, uppercase: true)
                return words.count > 3 && words[2].hasSuffix(far) && words[3] == "01"
            }
            let http = HTTPClient(environment: .none)
            let version = try await http.send(
                HTTPRequest(
                    method: .get, url: "https://127.0.0.1:\(cluster.port)/readyz", tls: cluster.access().tls, proxy: "")
            )
            #expect(version.protocolVersion == .http2)
            await http.shutdown()
            // Ours, and the server's own to itself.
            #expect(established <= 6, "\(established) connections")
        }
    }

    /// The network forgets the connection that all calls share: one call finds out, the next one goes over another.
    @Test func forgottenConnectionIsLeft() async throws {
        try await withCluster { cluster, admin, namespace in
            let forwarder = try Forwarder(to: cluster.port)
            defer { forwarder.stop() }
            var access = cluster.access(.token(Secret("admin-token")))
            access.server = "https://127.0.0.1:\(forwarder.port)"
            let client = cluster.client(access)
            var lease = try await client.createLease(Lease(namespace: namespace, name: "leader"))
            #expect(forwarder.accepted == 1)
            forwarder.forget()
            lease.holder = "a"
            let lost = await failure { _ = try await client.updateLease(lease, milliseconds: 1_500) }
            #expect(lost?.kind == .noAnswer && lost?.mayHaveHappened == true, "\(String(describing: lost))")
            let written = try await client.updateLease(lease)
            #expect(written.holder == "a" && forwarder.accepted == 2)
            await client.shutdown()
        }
    }

    /// 1.20 knows no selectable fields of custom resources, later servers do not for this kind: the definition offers none.
    @Test func unknownSelectorIsFoundOutByTheAnswer() async throws {
        try await withCluster { cluster, client, namespace in
            var quest = ListQuest(.probeResults, namespace: namespace)
            quest.fieldSelector = "spec.audit.exportStatus!=Exported"
            let refused = await failure { _ = try await client.list(quest) }
            #expect(refused?.kind == .rejected && refused?.code == 400, "\(String(describing: refused))")
            _ = try await cluster.makeResult(client, "r-1", namespace)
            let feed = ObjectFeed(
                client, .probeResults, namespace: namespace, fieldSelector: quest.fieldSelector, seed: 1)
            var told: [String] = []
            loop: while let output = await feed.next() {
                switch output {
                case .selectorUnknown: told.append("unknown")
                case .restarted: told.append("restarted")
                case .relisted: told.append("relisted")
                case .page(let page): told.append("page of \(page.batch.entries.count)")
                case .trouble(let failure): #expect(failure.code == 400)
                case .changes: break
                case .listed: break loop
                }
            }
            await feed.close()
            #expect(told == ["restarted", "unknown", "restarted", "page of 1"])
        }
    }
}
