import Crypto
import Foundation
import HTTPClient
import Model
import Testing

@testable import KubernetesAPI

@Suite struct KubeConfigTests {
    static let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    static let key = "-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----\n"

    private static func base64(_ text: String) -> String { Base64.encode(Array(text.utf8)) }

    private static func config(cluster: String = "", user: String = "", context: String = "", rest: String = "")
        -> String
    {
        """
        apiVersion: v1
        kind: Config
        current-context: dev
        contexts:
        - name: other
          context: {cluster: none}
        - name: dev
          context: {cluster: c1, user: u1\(context)}
        clusters:
        - name: c1
          cluster:
            server: https://10.0.0.1:6443/
        \(indented(cluster))
        users:
        - name: u1
          user:
            as-uid: null
        \(indented(user))
        \(rest)
        """
    }

    private static func indented(_ text: String) -> String {
        text.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
    }

    private static func read(_ text: String, context: String? = nil) throws -> ClusterAccess {
        try KubeConfig.read(text, file: "/home/me/.kube/config", context: context)
    }

    @Test func plainFile() throws {
        let access = try Self.read(Self.config(user: "token: hunter2", context: ", namespace: audit"))
        #expect(access.server == "https://10.0.0.1:6443" && access.namespace == "audit")
        #expect(access.user == .token(Secret("hunter2")) && access.tls == TLSSettings() && access.proxy == nil)
        #expect(access.origin == "/home/me/.kube/config, context dev")
        var shown = "\(access)"
        dump(access, to: &shown)
        #expect(!shown.contains("hunter2"))
    }

    @Test func dataGoesBeforeFilesAndNothingOfItIsShown() throws {
        let access = try Self.read(
            Self.config(
                cluster: """
                    tls-server-name: api.example
                    certificate-authority: ca.pem
                    certificate-authority-data: \(Self.base64(Self.certificate))
                    proxy-url: http://proxy:3128
                    """,
                user: """
                    client-certificate-data: \(Self.base64(Self.certificate))
                    client-key-data: \(Self.base64(Self.key))
                    as: auditor
                    as-groups: [a, b]
                    """))
        #expect(
            access.tls.caFile == nil && access.tls.serverName == "api.example" && access.proxy == "http://proxy:3128")
        #expect(access.tls.inMemory.authorities?.array == Array(Self.certificate.utf8))
        #expect(access.tls.inMemory.certificate?.array == Array(Self.certificate.utf8))
        #expect(access.tls.inMemory.key == Secret(Self.key) && access.user == .certificateOnly)
        #expect(access.impersonation == Impersonation(user: "auditor", groups: ["a", "b"]))
        #expect(
            access.impersonation?.headers.map { "\($0)" } == [
                "Impersonate-User: auditor", "Impersonate-Group: a", "Impersonate-Group: b",
            ])
        var shown = ""
        dump(access, to: &shown)
        #expect(!shown.contains("hunter2"))
    }

    @Test func pathsAreRelativeToTheFile() throws {
        let access = try Self.read(
            Self.config(
                cluster: "certificate-authority: pki/ca.pem",
                user: "client-certificate: me.crt\nclient-key: /etc/me.key\ntokenFile: token\ntoken: stale"))
        #expect(access.tls.caFile == "/home/me/.kube/pki/ca.pem" && access.tls.keyFile == "/etc/me.key")
        #expect(access.tls.certificateFile == "/home/me/.kube/me.crt")
        #expect(access.user == .tokenFile("/home/me/.kube/token"))
    }

    @Test(arguments: ExecPlugin.Version.allCases) func plugin(version: ExecPlugin.Version) throws {
        let exec = """
            exec:
              apiVersion: \(version.rawValue)
              command: bin/login
              args: [--cluster, prod, "7"]
              env:
              - {name: PROFILE, value: hunter2}
              interactiveMode: IfAvailable
              provideClusterInfo: true
              installHint: |
                * get it
                *there
            """
        let access = try Self.read(Self.config(cluster: "tls-server-name: api.example", user: exec))
        guard case .plugin(let plugin) = access.user else {
            Issue.record("no plugin")
            return
        }
        #expect(plugin.version == version && plugin.command == "/home/me/.kube/bin/login")
        #expect(plugin.arguments == ["--cluster", "prod", "7"] && plugin.installHint == "* get it *there")
        #expect(plugin.variables == [ExecPlugin.Variable(name: "PROFILE", value: Secret("hunter2"))])
        #expect(
            plugin.info
                == #"{"apiVersion":"\#(version.rawValue)","kind":"ExecCredential","spec":{"cluster":"#
                + #"{"server":"https://10.0.0.1:6443","tls-server-name":"api.example"},"interactive":false}}"#)
    }

    /// What would weaken or change who speaks is refused, and every mistake says where it stands.
    @Test(arguments: [
        ("insecure-skip-tls-verify: true", "", "clusters[0].cluster (line 12): insecure-skip-tls-verify would send"),
        ("certificate-authority-data: '***'", "", "certificate-authority-data is not base 64"),
        ("certificate-authority-data: aGVsbG8=", "", "certificate-authority-data holds no PEM certificate"),
        ("certificate-authority: [a]", "", "certificate-authority must be a single value"),
        ("", "username: a\npassword: b", "users[0].user (line 17): no API server since"),
        ("", "auth-provider: {name: gcp}", "auth-provider is gone"),
        ("", "client-certificate: a.crt", "needs its client-key"),
        ("", "client-key-data: aGVsbG8=", "needs its client-key"),
        ("", "client-certificate-data: aGVsbG8=\nclient-key: b", "holds no PEM certificate"),
        ("", "as-groups: [a]", "as-groups and as-uid need as"), ("", "as: a\nas-user-extra: {a: [b]}", "as-user-extra"),
        ("", "as-groups: a", "as-groups must be a list"), ("", "exec: x", "exec must be a mapping"),
        (
            "", "exec: {command: a}",
            "users[0].user.exec (line 18): apiVersion must be client.authentication.k8s.io/v1 or"
        ),
        ("", "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: a}", "apiVersion must be"),
        ("", "exec: {apiVersion: client.authentication.k8s.io/v1}", "command is missing"),
        ("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: a, interactiveMode: Always}", "Always"),
        (
            "", "exec: {apiVersion: client.authentication.k8s.io/v1, command: a, env: [{name: A}]}",
            "needs a name and a value"
        ),
    ])
    func mistakes(cluster: String, user: String, says: String) {
        do {
            _ = try Self.read(Self.config(cluster: cluster, user: user))
            Issue.record("taken: \(says)")
        } catch {
            #expect("\(error)".contains(says), "\(error)")
            #expect("\(error)".hasPrefix("/home/me/.kube/config: "), "\(error)")
        }
    }

    @Test(arguments: [
        ("", "is empty, or no YAML mapping"), ("- a", "no YAML mapping"), ("a: [", "is no YAML"),
        ("token: \"hunter2", "is no YAML"), ("kind: Pod", "kind is Pod, not Config"),
        ("kind: Config", "current-context"),
        ("current-context: a", "contexts has no entry with name a"),
        ("current-context: a\ncontexts: {}", "contexts has no entry"),
        ("current-context: a\ncontexts: 7", "must be a list"),
        ("current-context: a\ncontexts: [a]", "contexts[0] must be a mapping"),
        ("current-context: a\ncontexts: [{name: a}]", "context is missing"),
        ("current-context: a\ncontexts: [{name: a, context: {user: b}}]", "cluster is missing"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {x: y}}]",
            "server is"
        ),
        ("a: &x b\nc: *x", "has YAML aliases"), ("a: 1\na: 2", "given twice at line 2, first in line 1"),
        ("a: \"hunter2", "is no YAML: line 1, column 12: found unexpected end of stream"),
        ("a: hunter2\u{0}", "is no YAML: line 1, column 11: a character"),
    ])
    func brokenFiles(text: String, says: String) {
        do {
            _ = try Self.read(text)
            Issue.record("taken: \(says)")
        } catch {
            #expect("\(error)".contains(says), "\(error)")
            #expect(!"\(error)".contains("hunter2"), "\(error)")
        }
    }

    @Test(arguments: [
        "http://10.0.0.1", "10.0.0.1:6443", "https://a/?x", "ftp://x", "https://me:hunter2@a",
        "https://hunter2@a:6443/x", "https://", "https://a:hunter2", "https://a:0", "https://[a", "https://a/hunter 2",
    ])
    func badServers(url: String) {
        let text = Self.config().replacing("https://10.0.0.1:6443/", with: url)
        let error = #expect(throws: AccessError.self) { try Self.read(text) }
        #expect(error.map { "\($0)".contains("clusters[0].cluster (line ") && !"\($0)".contains("hunter") } == true)
    }

    @Test func contextIsChosenByName() {
        do {
            _ = try Self.read(Self.config(), context: "other")
            Issue.record("a cluster that is not there")
        } catch {
            #expect("\(error)".contains("clusters has no entry with name none"))
        }
    }

    @Test func hostileFilesEnd() {
        let deep = "a: " + String(repeating: "[", count: 50_000)
        let bombs = [
            deep, "a: " + String(repeating: "{b: ", count: 20_000), String(repeating: "x", count: (1 << 20) + 1),
            "x: &a [1,1]\ny: &b [*a,*a]\nz: [*b,*b]", String(repeating: "\u{0}", count: 100),
        ]
        for bomb in bombs { #expect(throws: AccessError.self) { try Self.read(bomb) } }
    }

    @Test func textInAnotherEncodingIsRefused() throws {
        let directory = try Scratch()
        for (name, bytes) in [("latin", [0x61, 0x3A, 0x20, 0xE9]), ("utf16", [0xFF, 0xFE, 0x61, 0x00])]
            as [(String, [UInt8])]
        {
            let path = directory.path + "/" + name
            try #require(FileManager.default.createFile(atPath: path, contents: Data(bytes)))
            let error = #expect(throws: AccessError.self) { try KubeConfig.load(file: path) }
            #expect(error.map { "\($0)" }?.contains("\(path) is not UTF-8 text") == true)
        }
    }

    @Test func fileThatIsNotThere() {
        do {
            _ = try KubeConfig.load(file: "/nowhere/config")
            Issue.record("read")
        } catch {
            #expect(error.kind == .unreadable && "\(error)".contains("/nowhere/config: No such file"))
        }
    }

    @Test func base64OfAllLengths() {
        var rng = PRNG(seed: 2)
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: rng.next()) }
            let text = Base64.encode(bytes)
            #expect(Base64.decode(text) == bytes)
            #expect(Base64.decode(text.map { "\($0)\n" }.joined()) == bytes)
        }
        for bad in ["A", "AA", "AAA", "AA=", "AA==A", "A===", "AB==", "AAB=", "A-A=", "====", "AAAA="] {
            #expect(Base64.decode(bad) == nil, "\(bad)")
        }
    }
}

@Suite struct InClusterTests {
    @Test func filesOfThePod() throws {
        let directory = try Scratch()
        let variables = ["KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"]
        try directory.write("token", "abc\n")
        #expect(throws: AccessError.self) {
            try ClusterAccess.inCluster(directory: directory.path) { variables[$0] }
        }
        try directory.write("ca.crt", KubeConfigTests.certificate)
        let bare = try ClusterAccess.inCluster(directory: directory.path) { variables[$0] }
        #expect(bare.namespace == nil)
        try directory.write("namespace", "sidereal-system")
        let access = try ClusterAccess.inCluster(directory: directory.path) { variables[$0] }
        #expect(access.server == "https://[fd00::1]:443" && access.namespace == "sidereal-system")
        #expect(access.tls.caFile == directory.path + "/ca.crt" && access.user == .tokenFile(directory.path + "/token"))
    }

    @Test func elsewhereItSaysWhatToDo() {
        do {
            _ = try ClusterAccess.inCluster { _ in nil }
            Issue.record("in a cluster")
        } catch {
            #expect(error.kind == .notInCluster && "\(error)".contains("--kubeconfig"))
        }
    }
}
