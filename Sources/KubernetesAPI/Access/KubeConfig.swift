import Crypto
import Glibc
import HTTPClient
import Model
import Secrets
import Threading
import YAML

/// Reads kubeconfig files (Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files"). Pure, but for
/// ``load(file:context:)``.
///
/// Promises:
/// 1. Whatever the file holds, reading it ends: at most ``maxBytes``, no aliases.
/// 2. What would change as whom or how safely is spoken, and is not known here, is refused and never passed over.
/// 3. No error quotes a credential.
public enum KubeConfig {
    /// Largest accepted file, bytes.
    public static let maxBytes = bounds.bytes
    /// No tool writes aliases.
    private static let bounds = Bounds(aliases: 0)

    /// The access that `context` of the file describes; nil: that of its `current-context`.
    public static func load(file: String, context: String? = nil) throws(AccessError) -> ClusterAccess {
        guard let handle = unsafe fopen(file, "re") else {
            let why = systemErrorText(errno)
            throw AccessError(
                .unreadable,
                "cannot read the kubeconfig \(file): \(why). Is the path right? It is taken from the current directory unless it"
                    + " begins with a slash")
        }
        defer { unsafe _ = fclose(handle) }
        var bytes = [UInt8](repeating: 0, count: maxBytes + 1)
        let count = unsafe fread(&bytes, 1, bytes.count, handle)
        guard unsafe ferror(handle) == 0 else {
            throw AccessError(
                .unreadable, "cannot read the kubeconfig \(file): it is no regular file; give the file itself")
        }
        return try read(Array(bytes[..<count]), file: file, context: context)
    }

    /// As ``load(file:context:)``, from the file's text. Paths in it are relative to the folder of `file`.
    public static func read(
        _ text: String, file: String, context: String? = nil
    ) throws(AccessError) -> ClusterAccess {
        try read(Array(text.utf8), file: file, context: context)
    }

    private static func read(
        _ bytes: [UInt8], file: String, context: String?
    ) throws(AccessError) -> ClusterAccess {
        let root = KubeConfigNode(try compose(bytes, file), path: "", file: file)
        if let kind = try root.text("kind"), kind != "Config" {
            throw root.trouble(.malformed, "kind is \(PlainText.line(kind, limit: 60)), not Config")
        }
        let current = try root.text("current-context")
        guard let name = context ?? current, !name.isEmpty else {
            throw root.trouble(
                .missing, "it names no current-context; give --context NAME, one of those below contexts")
        }
        let chosen = try root.named("contexts", name, "context", by: context == nil ? "current-context" : "--context")
        let shown = PlainText.line(name, limit: 100)
        guard let clusterName = try chosen.text("cluster") else { throw chosen.trouble(.missing, "cluster is missing") }
        let cluster = try root.named("clusters", clusterName, "cluster", by: "the context \(shown)")
        var access = ClusterAccess(
            server: try server(cluster), tls: try trust(cluster), user: .certificateOnly,
            proxy: try cluster.text("proxy-url"),
            namespace: try chosen.text("namespace").flatMap { $0.isEmpty ? nil : $0 },
            origin: "\(file), context \(shown)")
        if let userName = try chosen.text("user"), !userName.isEmpty {
            let user = try root.named("users", userName, "user", by: "the context \(shown)")
            try certificate(user, &access.tls)
            access.user = try identity(user, cluster, access)
            access.impersonation = try impersonation(user)
        }
        return access
    }

    private static func compose(_ bytes: [UInt8], _ file: String) throws(AccessError) -> Node {
        let document: Document
        do throws(YAMLError) {
            document = try Document(bytes, within: bounds)
        } catch {
            throw refusal(error, file)
        }
        if let key = document.repeatedKeys.first {
            throw AccessError(
                .malformed,
                "the kubeconfig \(file) is no YAML: a key is given twice at line \(key.mark.line), first in line \(key.first.line);"
                    + " mend it there")
        }
        guard let root = document.root, root.mapping != nil else {
            throw AccessError(.malformed, "the kubeconfig \(file) is empty, or no YAML mapping; is it the right file?")
        }
        return root
    }

    private static func refusal(_ error: YAMLError, _ file: String) -> AccessError {
        switch error.kind {
        case .tooLarge: return AccessError(.malformed, "the kubeconfig \(file) has \(error.problem)")
        case .utf16, .notUTF8: return AccessError(.malformed, "the kubeconfig \(file) is not UTF-8 text")
        case .tooManyAliases:
            return AccessError(.unsupported, "the kubeconfig \(file) has YAML aliases (*name); write the values out")
        default:
            let place = error.mark.map { "line \($0.line), column \($0.column): " } ?? ""
            return AccessError(.malformed, "the kubeconfig \(file) is no YAML: \(place)\(error.problem); mend it there")
        }
    }

    private static func server(_ cluster: KubeConfigNode) throws(AccessError) -> String {
        guard var server = try cluster.text("server"), !server.isEmpty else {
            throw cluster.trouble(.missing, "server is missing")
        }
        while server.hasSuffix("/") { server.removeLast() }
        guard server.hasPrefix("https://") else {
            throw cluster.trouble(
                .unsupported, "server must be an https URL: a token would cross the network in the open")
        }
        guard !server.contains("?"), !server.contains("#") else {
            throw cluster.trouble(.malformed, "server must be a URL without a query")
        }
        guard HTTPRequest.takes(url: server) else {
            throw cluster.trouble(
                .malformed,
                "server must be https://HOST, https://HOST:PORT or one of these with a path, of printable ASCII, and without user"
                    + " and password: they belong below users, as a token, a certificate or exec")
        }
        return server
    }

    private static func trust(_ cluster: KubeConfigNode) throws(AccessError) -> TLSSettings {
        if let word = try cluster.text("insecure-skip-tls-verify"), word.lowercased() == "true" {
            throw cluster.trouble(
                .unsupported,
                "insecure-skip-tls-verify would send audit records and tokens to whoever answers; put the authority into"
                    + " certificate-authority-data, and set tls-server-name if the name differs")
        }
        var tls = TLSSettings(serverName: try cluster.text("tls-server-name").flatMap { $0.isEmpty ? nil : $0 })
        if let authorities = try cluster.decoded("certificate-authority-data") {
            guard isPEM(authorities, "CERTIFICATE") else {
                throw cluster.trouble(.malformed, "certificate-authority-data holds no PEM certificate")
            }
            tls.inMemory.authorities = SealedBytes(authorities)
        } else {
            tls.caFile = try cluster.filePath("certificate-authority")
        }
        return tls
    }

    private static func certificate(_ user: KubeConfigNode, _ tls: inout TLSSettings) throws(AccessError) {
        let certificate = try user.decoded("client-certificate-data")
        let key = try user.decoded("client-key-data")
        let certificateFile = try user.filePath("client-certificate")
        let keyFile = try user.filePath("client-key")
        guard (certificate != nil || certificateFile != nil) == (key != nil || keyFile != nil) else {
            throw user.trouble(.missing, "a client certificate needs its client-key, and a client-key its certificate")
        }
        if let certificate {
            guard isPEM(certificate, "CERTIFICATE") else {
                throw user.trouble(.malformed, "client-certificate-data holds no PEM certificate")
            }
            tls.inMemory.certificate = SealedBytes(certificate)
        } else {
            tls.certificateFile = certificateFile
        }
        if let key {
            guard isPEM(key, "PRIVATE KEY"), let text = String(validating: key, as: UTF8.self) else {
                throw user.trouble(.malformed, "client-key-data holds no PEM key")
            }
            tls.inMemory.key = Secret(text)
        } else {
            tls.keyFile = keyFile
        }
    }

    private static func isPEM(_ bytes: [UInt8], _ label: String) -> Bool {
        bytes.firstRange(of: Array("-----BEGIN ".utf8)) != nil
            && bytes.firstRange(of: Array("\(label)-----".utf8)) != nil
    }

    private static func identity(
        _ user: KubeConfigNode, _ cluster: KubeConfigNode, _ access: ClusterAccess
    ) throws(AccessError) -> ClusterUser {
        if try user.text("username").map({ !$0.isEmpty }) == true || user.has("password") {
            throw user.trouble(
                .unsupported, "no API server since Kubernetes 1.19 takes a password; use a token, a certificate or exec"
            )
        }
        if user.has("auth-provider") {
            throw user.trouble(
                .unsupported, "auth-provider is gone since Kubernetes 1.26; use the exec plugin in its place")
        }
        if let file = try user.filePath("tokenFile") { return .tokenFile(file) }
        if let token = try user.text("token"), !token.isEmpty { return .token(Secret(token)) }
        guard let exec = try user.child("exec") else { return .certificateOnly }
        return .plugin(try plugin(exec, cluster, access))
    }

    private static func plugin(
        _ exec: KubeConfigNode, _ cluster: KubeConfigNode, _ access: ClusterAccess
    ) throws(AccessError) -> ExecPlugin {
        let known = ExecPlugin.Version.allCases.map(\.rawValue).joined(separator: " or ")
        guard let version = try exec.text("apiVersion").flatMap(ExecPlugin.Version.init(rawValue:)) else {
            throw exec.trouble(.unsupported, "apiVersion must be \(known); update the plugin and its entry")
        }
        guard let command = try exec.text("command"), !command.isEmpty else {
            throw exec.trouble(.missing, "command is missing")
        }
        if try exec.text("interactiveMode") == "Always" {
            throw exec.trouble(
                .unsupported, "interactiveMode Always: nobody sits here to answer; use a plugin that does without")
        }
        var plugin = ExecPlugin(version: version, command: exec.resolved(command))
        plugin.arguments = try exec.texts("args")
        for entry in try exec.children("env") {
            guard let name = try entry.text("name"), !name.isEmpty, !name.contains("="),
                let value = try entry.text("value")
            else { throw entry.trouble(.malformed, "an entry of env needs a name and a value") }
            plugin.variables.append(ExecPlugin.Variable(name: name, value: Secret(value)))
        }
        plugin.installHint = PlainText.line(try exec.text("installHint") ?? "", limit: 500)
        if try exec.text("provideClusterInfo")?.lowercased() == "true" {
            plugin.cluster = try clusterInfo(cluster, access)
        }
        return plugin
    }

    /// `spec.cluster` of client.authentication.k8s.io, without its `config`, which only the extensions of a kubeconfig have.
    private static func clusterInfo(
        _ cluster: KubeConfigNode, _ access: ClusterAccess
    ) throws(AccessError) -> [UInt8] {
        if cluster.has("extensions") {
            throw cluster.trouble(
                .unsupported,
                "extensions for an exec plugin are not handed on; use a plugin that is told by its arguments")
        }
        var authorities = access.tls.inMemory.authorities?.array
        if authorities == nil, let file = access.tls.caFile {
            var files = PEMFiles()
            authorities = try? files.contents(TLSSettings(caFile: file)).authorities?.array
        }
        return JSONBody.object { body in
            body.add("server", access.server)
            if let name = access.tls.serverName { body.add("tls-server-name", name) }
            if let authorities { body.add("certificate-authority-data", Base64.encode(authorities)) }
            if let proxy = access.proxy { body.add("proxy-url", proxy) }
        }
    }

    private static func impersonation(_ user: KubeConfigNode) throws(AccessError) -> Impersonation? {
        let name = try user.text("as") ?? ""
        let groups = try user.texts("as-groups")
        let uid = try user.text("as-uid")
        if user.has("as-user-extra") { throw user.trouble(.unsupported, "as-user-extra is not spoken here") }
        guard !name.isEmpty else {
            guard groups.isEmpty, uid == nil else { throw user.trouble(.missing, "as-groups and as-uid need as") }
            return nil
        }
        return Impersonation(user: name, groups: groups, uid: uid)
    }
}
