import ExportCore
import FoundationEssentials
import Model
import Secrets
import Testing

@testable import Backends
@testable import HTTPClient

/// Credentials: what is read, what is sent, what is said when they are missing.
@Suite struct AccessTests {
    /// Makes a secret `ref` of these files.
    private func withSecret(
        _ files: [String: String], _ body: (SecretDirectory) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { root in
            try FileManager.default.createDirectory(atPath: root + "/ref", withIntermediateDirectories: true)
            for (name, text) in files { try write(text, to: "\(root)/ref/\(name)") }
            try await body(SecretDirectory(root: root))
        }
    }

    private func headers(_ secrets: SecretDirectory) throws -> [HTTPHeader]? {
        try ElasticsearchAccess(secrets: secrets, secretRef: "ref").headers()
    }

    @Test func splunkToken() async throws {
        try await withSecret(["token": "11111111-2222\n"]) { secrets in
            let headers = try #require(try SplunkAccess(secrets: secrets, secretRef: "ref").headers())
            #expect(headers.map(\.name) == ["Authorization"])
            #expect(headers.map(\.wireValue) == ["Splunk 11111111-2222"])
            #expect(try SplunkAccess(secrets: secrets, secretRef: nil).headers() == nil)
            #expect(try SplunkAccess(secrets: secrets, secretRef: "other").headers() == nil)
        }
    }

    /// Kibana shows a key in two spellings; both mean the same header.
    @Test(arguments: ["VuaCfGcBCdbkQm:ui2lp2axTNmsyakw9tvNnw", "VnVhQ2ZHY0JDZGJrUW06dWkybHAyYXhUTm1zeWFrdzl0dk5udw=="])
    func elasticsearchKeyRawOrEncoded(key: String) async throws {
        try await withSecret(["apiKey": key, "username": "u", "password": "p"]) { secrets in
            let sent = try headers(secrets)?.map(\.wireValue)
            #expect(sent == ["ApiKey VnVhQ2ZHY0JDZGJrUW06dWkybHAyYXhUTm1zeWFrdzl0dk5udw=="])
        }
    }

    /// RFC 7617, section 2.
    @Test func elasticsearchUserAndPassword() async throws {
        try await withSecret(["username": "Aladdin", "password": "open sesame"]) { secrets in
            let sent = try headers(secrets)?.map(\.wireValue)
            #expect(sent == ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="])
        }
    }

    @Test(arguments: [["username": "u"], ["password": "p"], ["token": "t"], [:]])
    func elasticsearchHalfASecretIsNone(files: [String: String]) async throws {
        try await withSecret(files) { secrets in
            let sent = try headers(secrets)
            #expect(sent == nil)
        }
    }

    /// A cluster without security is asked without credentials, if no secret is named.
    @Test func elasticsearchWithoutASecret() throws {
        let secrets = SecretDirectory(root: "/nowhere")
        #expect(try ElasticsearchAccess(secrets: secrets, secretRef: nil).headers() == [])
    }

    @Test func headersNeverShowSecrets() async throws {
        let files = ["token": "hunter2-token", "username": "hunter2-user", "password": "hunter2-word"]
        try await withSecret(files) { secrets in
            let splunk = try #require(try SplunkAccess(secrets: secrets, secretRef: "ref").headers())
            let elastic = try #require(try headers(secrets))
            let encoded = ["aHVudGVyMi11c2VyOmh1bnRlcjItd29yZA==", "hunter2"]
            for headers in [splunk, elastic] {
                let request = HTTPRequest(method: .get, url: "https://siem/", headers: headers)
                var dumped = ""
                dump(headers, to: &dumped)
                dump(request, to: &dumped)
                let shown = "\(headers) \(headers[0]) \(String(reflecting: headers)) \(request) \(dumped)"
                for secret in encoded { #expect(!shown.contains(secret)) }
                #expect(shown.contains("<secret>"))
            }
        }
    }

    private func answers(
        _ kind: BackendKind, _ secrets: SecretDirectory, ref: String? = "ref"
    ) async throws -> (delivery: Verdict, probe: Reason?) {
        var target = target(kind, name: "soc")
        target.secretRef = ref
        let client = HTTPClient()
        let factory = BackendFactory(client: client, secrets: secrets, stamp: stamp)
        let made = factory.make(target, committed: nil) { _ in nil }
        let answer = await made.backend.deliver(parcel(["a"]))
        let probe = await made.backend.probe()
        await made.backend.close()
        await client.shutdown()
        #expect(answer.outputFile == nil)
        return (answer.verdict, probe)
    }

    @Test(arguments: [
        (BackendKind.splunk, "the file token"), (.elasticsearch, "the file apiKey, or the files username and password"),
    ]) func missingFilesAreNamed(backend: BackendKind, needed: String) async throws {
        try await withSecret(["other": "x"]) { secrets in
            let (delivery, probe) = try await answers(backend, secrets)
            #expect(kind(delivery) == "configuration")
            #expect(probe == refusal(delivery))
            let message = try #require(probe).message
            #expect(message.contains("soc (https://siem.example.com:1)"))
            #expect(message.contains("the secret ref") && message.contains(needed))
        }
    }

    private func connectRefusal(_ secrets: SecretDirectory, ref: String = "ref") -> Reason? {
        var target = target(.s3, name: "soc")
        target.secretRef = ref
        var request = HTTPRequest(method: .get, url: "https://siem/")
        do throws(Refusal) {
            try request.connect(to: target, secrets: secrets, place: "soc")
            return nil
        } catch {
            return kind(error.verdict) == "configuration" ? error.reason : nil
        }
    }

    private func syslogRefusal(_ access: inout SyslogAccess) -> SyslogFailure? {
        do throws(SyslogFailure) {
            _ = try access.material()
            return nil
        } catch {
            return error
        }
    }

    /// Without its secret a target would trust the system's authorities instead of its own.
    @Test func aSecretThatIsNotThereIsNotOneWithoutCertificates() async throws {
        try await withSecret([:]) { secrets in
            #expect(connectRefusal(secrets) == nil)
            let http = try #require(connectRefusal(secrets, ref: "rfe"))
            #expect(http.code == "secret" && http.message.contains("there is no directory \(secrets.root)/rfe"))
            var access = SyslogAccess(secrets: secrets, secretRef: "rfe", isTLS: true)
            let syslog = try #require(syslogRefusal(&access))
            #expect(syslog.kind == .tls(.localFile) && syslog.words.contains("there is no directory"))
        }
    }

    @Test(arguments: ["ca.crt", "crl.pem"]) func trustDoesNotWidenWhileAFileIsReplaced(key: String) async throws {
        try await withSecret(["ca.crt": "a", "crl.pem": "c"]) { secrets in
            #expect(connectRefusal(secrets) == nil)
            try FileManager.default.removeItem(atPath: "\(secrets.root)/ref/\(key)")
            let http = try #require(connectRefusal(secrets))
            #expect(http.code == "secret" && http.message.contains("\(key) was there and is gone"))
            var access = SyslogAccess(secrets: secrets, secretRef: "ref", isTLS: true)
            let syslog = try #require(syslogRefusal(&access))
            #expect(syslog.kind == .tls(.localFile) && syslog.words.contains("\(key) was there and is gone"))
            try write("b", to: "\(secrets.root)/ref/\(key)")
            #expect(connectRefusal(secrets) == nil)
        }
    }

    @Test func missingSecretRefIsNamed() async throws {
        let (delivery, _) = try await answers(.splunk, SecretDirectory(root: "/nowhere"), ref: nil)
        #expect(kind(delivery) == "configuration")
        #expect(refusal(delivery)?.message.contains("secretRef") == true)
    }

    @Test func unreadableSecretIsAConfigurationError() async throws {
        try await withSecret(["token": "two\nlines", "apiKey": ""]) { secrets in
            for backend in [BackendKind.splunk, .elasticsearch] {
                let (delivery, _) = try await answers(backend, secrets)
                #expect(kind(delivery) == "configuration")
                #expect(refusal(delivery)?.message.contains("\(secrets.root)/ref/") == true)
                #expect(refusal(delivery)?.message.contains("two") == false)
            }
        }
    }
}
