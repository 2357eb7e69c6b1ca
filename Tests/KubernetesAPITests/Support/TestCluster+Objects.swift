import Foundation
import HTTPClient
import Model

@testable import KubernetesAPI

extension APIResource {
    static let namespaces = APIResource(
        group: "", version: "v1", plural: "namespaces", kind: "Namespace", isNamespaced: false)
    static let definitions = APIResource(
        group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions",
        kind: "CustomResourceDefinition",
        isNamespaced: false)
    static let roles = APIResource(group: "rbac.authorization.k8s.io", version: "v1", plural: "roles", kind: "Role")
    static let roleBindings = APIResource(
        group: "rbac.authorization.k8s.io", version: "v1", plural: "rolebindings", kind: "RoleBinding")
}

extension TestCluster {
    func makeCertificates() async throws {
        let script = """
            set -e; cd "$1"
            new() { openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout $1.key -out $1.csr; }
            sign() { openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -set_serial $2 -days 30 -extfile $1.ext -out $1.crt; }
            openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ca -keyout ca.key -out ca.crt
            new server /CN=kube-apiserver; echo "subjectAltName=IP:127.0.0.1,DNS:kubernetes.default.svc" > server.ext
            sign server 2
            new alice /CN=alice/O=system:masters; echo "extendedKeyUsage=clientAuth" > alice.ext; sign alice 3
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", script, "sh", scratch]
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        try await Self.end(of: process)
        guard process.terminationStatus == 0 else { throw Trouble(description: "openssl failed") }
    }

    func text(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

    /// The server's minor version: 20 for 1.20.
    func minorVersion() async throws -> Int {
        let client = HTTPClient(environment: .none)
        let response = try await client.send(
            HTTPRequest(
                method: .get, url: "https://127.0.0.1:\(port)/version", tls: TLSSettings(caFile: path("ca.crt")),
                proxy: ""))
        await client.shutdown()
        let text = String(decoding: response.body, as: UTF8.self)
        guard let minor = text.firstMatch(of: /"minor": *"([0-9]+)/).flatMap({ Int($0.1) }) else {
            throw Trouble(description: "no version: \(text)")
        }
        return minor
    }

    /// A kind whose definition offers `spec.audit.exportStatus` for selectors (Kubernetes 1.31).
    func makeSelectable(_ admin: KubernetesClient) async throws -> APIResource {
        let kind = APIResource(
            group: "tests.sidereal.cloud", version: "v1", plural: "selectables", kind: "Selectable")
        let definition = """
            {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":
            {"name":"selectables.tests.sidereal.cloud"},"spec":{"group":"tests.sidereal.cloud","scope":"Namespaced","names":
            {"plural":"selectables","singular":"selectable","kind":"Selectable"},"versions":[{"name":"v1","served":true,
            "storage":true,"selectableFields":[{"jsonPath":".spec.audit.exportStatus"}],"schema":{"openAPIV3Schema":
            {"type":"object","properties":{"spec":{"type":"object","properties":{"audit":{"type":"object","properties":
            {"exportStatus":{"type":"string"}}}}}}}}}]}}
            """
        _ = try await admin.create(.definitions, namespace: nil, object: Array(definition.utf8))
        for _ in 0..<200 {
            if (try? await admin.list(ListQuest(kind))) != nil { return kind }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Trouble(description: "the kind Selectable is not served\n\(log("kube-apiserver"))")
    }

    /// Namespaces, and the kind of results without a schema.
    func makeDefinitions() async throws {
        let client = client(token: "admin-token")
        let definition = """
            {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":
            {"name":"siderealproberesults.sidereal.cloud"},"spec":{"group":"sidereal.cloud","scope":"Namespaced","names":
            {"plural":"siderealproberesults","singular":"siderealproberesult","kind":"SiderealProbeResult"},"versions":
            [{"name":"v1alpha1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":
            {"spec":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}]}}
            """
        _ = try await client.create(.definitions, namespace: nil, object: Array(definition.utf8))
        for _ in 0..<200 {
            do throws(APIFailure) {
                _ = try await client.list(ListQuest(.probeResults))
                await client.shutdown()
                return
            } catch {
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        throw Trouble(description: "the kind SiderealProbeResult is not served\n\(log("kube-apiserver"))")
    }

    /// Has etcd forget everything but the newest state.
    func compact() async throws {
        let now = try await etcd("/v3/kv/range", #"{"key":"Lw=="}"#)
        guard let from = now.firstRange(of: #""revision":""#)?.upperBound else { throw Trouble(description: now) }
        let revision = now[from...].prefix { $0 != "\"" }
        let answer = try await etcd("/v3/kv/compaction", #"{"revision":"\#(revision)","physical":true}"#)
        guard answer.contains("header") else { throw Trouble(description: answer) }
    }

    /// A namespace of a test's own.
    func namespace(_ client: KubernetesClient) async throws -> String {
        let name = "t-" + UUID().uuidString.lowercased().prefix(12)
        let object = #"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"\#(name)"}}"#
        _ = try await client.create(.namespaces, namespace: nil, object: Array(object.utf8))
        return String(name)
    }

    /// Makes a service account, and a token for it (TokenRequest of authentication.k8s.io/v1), as a pod gets one.
    func serviceAccountToken(_ admin: KubernetesClient, _ name: String, _ namespace: String) async throws -> String {
        let accounts = APIResource(group: "", version: "v1", plural: "serviceaccounts", kind: "ServiceAccount")
        let object = #"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"\#(name)"}}"#
        _ = try await admin.create(accounts, namespace: namespace, object: Array(object.utf8))
        let client = HTTPClient(environment: .none)
        let ask = #"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":3600}}"#
        let response = try await client.send(
            HTTPRequest(
                method: .post,
                url: "https://127.0.0.1:\(port)/api/v1/namespaces/\(namespace)/serviceaccounts/\(name)/token",
                headers: [
                    HTTPHeader("Authorization", "Bearer admin-token"), HTTPHeader("Content-Type", "application/json"),
                ], body: SealedBytes(Array(ask.utf8)), tls: TLSSettings(caFile: path("ca.crt")), proxy: ""))
        await client.shutdown()
        let text = String(decoding: response.body, as: UTF8.self)
        guard let from = text.firstRange(of: #""token":""#)?.upperBound else { throw Trouble(description: text) }
        return String(text[from...].prefix { $0 != "\"" })
    }

    func result(_ name: String, _ namespace: String, status: String = "Pending", extra: String = "") -> [UInt8] {
        Array(
            (#"{"apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealProbeResult","metadata":{"name":"\#(name)","#
                + #""namespace":"\#(namespace)"},"spec":{"audit":{"exportStatus":"\#(status)"}\#(extra)}}"#).utf8)
    }

    /// A result, and its resource version.
    func makeResult(
        _ client: KubernetesClient, _ name: String, _ namespace: String, extra: String = ""
    ) async throws -> String {
        let stored = try await client.create(
            .probeResults, namespace: namespace, object: result(name, namespace, extra: extra))
        return Self.version(stored)
    }

    static func version(_ object: [UInt8]) -> String {
        member("resourceVersion", String(decoding: object, as: UTF8.self))
    }

    /// The first string of that name.
    static func member(_ name: String, _ text: String) -> String {
        guard let from = text.firstRange(of: #""\#(name)":""#)?.upperBound else { return "" }
        return String(text[from...].prefix { $0 != "\"" })
    }
}
