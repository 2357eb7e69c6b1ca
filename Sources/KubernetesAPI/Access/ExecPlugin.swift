import Formats
public import Model

/// A program that gives credentials (client.authentication.k8s.io), as a kubeconfig names it.
public struct ExecPlugin: Sendable, Equatable {
    /// Versions of the interface that are spoken.
    public enum Version: String, Sendable, CaseIterable {
        /// Since Kubernetes 1.22.
        case v1 = "client.authentication.k8s.io/v1"
        /// Since Kubernetes 1.11.
        case v1beta1 = "client.authentication.k8s.io/v1beta1"
    }

    /// One variable for the program's environment. Its value may be a credential.
    public struct Variable: Sendable, Equatable {
        /// The name.
        public var name: String
        /// The value.
        public var value: Secret
    }

    /// Which version.
    public var version: Version
    /// The program: a path, or a name to be looked up in `PATH`.
    public var command: String
    /// Its arguments.
    public var arguments: [String] = []
    /// Added to the environment of this process.
    public var variables: [Variable] = []
    /// What whoever does not have the program should read.
    public var installHint = ""
    /// The JSON of `spec.cluster`, if the program is to be told; without credentials.
    public var cluster: [UInt8]?

    /// What the program reads in `KUBERNETES_EXEC_INFO`.
    var info: String {
        let spec = cluster.map { "\"cluster\":\(String(decoding: $0, as: UTF8.self))," } ?? ""
        return
            "{\"apiVersion\":\"\(version.rawValue)\",\"kind\":\"ExecCredential\",\"spec\":{\(spec)\"interactive\":false}}"
    }
}

/// What a plugin answered.
struct ExecCredential: Equatable {
    var token: Secret?
    var certificate: [UInt8]?
    var key: Secret?
    /// Milliseconds since 1970; nil: good until it is refused.
    var expires: Int64?

    /// Reads the standard output of `plugin`. Quotes nothing of it.
    init(_ output: [UInt8], of plugin: ExecPlugin) throws(AccessError) {
        func trouble(_ what: String) -> AccessError {
            AccessError(
                .plugin, "\(plugin.command): \(what); run it by hand to see what it writes, or update it")
        }
        let bytes = output.span
        guard let members = JSONAnswer.members(bytes, 0..<output.count) else {
            throw trouble("its output is not a JSON object")
        }
        func text(_ name: String, _ members: [(key: String, value: JSONValue)], _ limit: Int) -> String? {
            members.first { $0.key == name }.flatMap { JSONAnswer.text($0.value, bytes, limit: limit) }
        }
        guard text("kind", members, 100) == "ExecCredential" else { throw trouble("its output is no ExecCredential") }
        guard text("apiVersion", members, 100) == plugin.version.rawValue else {
            throw trouble("its output is not of \(plugin.version.rawValue), which the kubeconfig asks for")
        }
        guard let status = members.first(where: { $0.key == "status" })?.value,
            status.kind == .object, let inside = JSONAnswer.members(bytes, status.range)
        else { throw trouble("its output has no status") }
        let most = ExecProcess.maxOutputBytes
        token = text("token", inside, most).flatMap { $0.isEmpty ? nil : Secret($0) }
        certificate = text("clientCertificateData", inside, most).flatMap { $0.isEmpty ? nil : Array($0.utf8) }
        key = text("clientKeyData", inside, most).flatMap { $0.isEmpty ? nil : Secret($0) }
        guard (certificate == nil) == (key == nil) else {
            throw trouble("it gave a client certificate without its key, or a key without its certificate")
        }
        guard token != nil || certificate != nil else { throw trouble("it gave neither a token nor a certificate") }
        if let expiry = inside.first(where: { $0.key == "expirationTimestamp" })?.value, expiry.isPresent {
            guard expiry.kind == .string, let time = Timestamp(bytes, expiry.range) else {
                throw trouble("its expirationTimestamp is no time (RFC 3339)")
            }
            expires = time.seconds * 1_000
        }
    }
}
