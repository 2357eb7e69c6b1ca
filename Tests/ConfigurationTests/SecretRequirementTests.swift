import Configuration
import Testing

@Suite struct SecretRequirementTests {
    private func problems(
        _ text: String, _ states: [String: SecretState], exists: Bool = true
    ) throws -> [String] {
        let configuration = try Configuration.parse(text, name: "values.yaml")
        let found = configuration.secretProblems(root: "/secrets", exists: { _ in exists }) { ref, key in
            states["\(ref)/\(key)"] ?? .absent
        }
        return found.map { "\($0)" }
    }

    /// A target that needs no credentials would otherwise run without the authorities it was to trust.
    @Test func aSecretOfCertificatesMustBeThere() throws {
        let text = target([
            "backend: syslog", "endpoint: tls://siem.example.com:6514", "secretRef: soc", "format: syslog",
        ])
        #expect(try problems(text, [:]).isEmpty)
        let found = try problems(text, [:], exists: false)
        #expect(found.count == 1 && found[0].contains("secretRef: `soc`: there is no such secret"))
        let unreadable = try problems(text, ["soc/ca.crt": .unusable("cannot read it")])
        #expect(unreadable.count == 1 && unreadable[0].contains("`ca.crt` cannot be used: cannot read it"))
    }

    @Test func splunkNeedsAToken() throws {
        #expect(
            try problems(splunk(), [:]) == [
                """
                values.yaml:5:7: export.targets[0].secretRef: `splunk-hec-token`: the secret lacks `token`
                    hint: put each into a file of that name, such as /secrets/splunk-hec-token/token, \
                or add the key to the Kubernetes Secret splunk-hec-token
                """
            ])
        #expect(try problems(splunk(), ["splunk-hec-token/token": .present]).isEmpty)
    }

    @Test func unusableKeysSayWhy() throws {
        #expect(
            try problems(splunk(), ["splunk-hec-token/token": .unusable("/x is empty")]) == [
                """
                values.yaml:5:7: export.targets[0].secretRef: `splunk-hec-token`: \
                the secret's key `token` cannot be used: /x is empty
                    hint: mend the file /secrets/splunk-hec-token/token
                """
            ])
    }

    @Test func elasticsearchNeedsAKeyOrAPair() throws {
        func message(_ states: [String: SecretState]) throws -> String {
            try problems(elasticsearch(), states).joined().split(separator: "\n").first.map(String.init) ?? ""
        }
        #expect(try message([:]).hasSuffix("the secret lacks `apiKey`, or `username` and `password`"))
        #expect(try message(["es/username": .present]).hasSuffix("the secret lacks `password`"))
        #expect(try message(["es/password": .present]).hasSuffix("the secret lacks `username`"))
        #expect(try message(["es/username": .present, "es/password": .present]).isEmpty)
        #expect(try message(["es/apiKey": .present]).isEmpty)
        let open = target(["backend: elasticsearch", "endpoint: https://localhost:9200"])
        #expect(try problems(open, [:]).isEmpty)
        #expect(try problems(file(), [:]).isEmpty)
    }

    @Test(arguments: [
        ("crl.pem", "ca.crt"), ("proxyUsername", "proxyPassword"), ("proxyPassword", "proxyUsername"),
    ])
    func someKeysNeedAnother(key: String, other: String) throws {
        var states = ["splunk-hec-token/token": SecretState.present, "splunk-hec-token/\(key)": .present]
        let found = try problems(splunk(), states)
        #expect(found.count == 1 && found[0].contains("holds `\(key)` without `\(other)`"))
        states["splunk-hec-token/\(other)"] = .present
        #expect(try problems(splunk(), states).isEmpty)
    }

    @Test func clientCertificateNeedsItsKey() throws {
        let token = ["splunk-hec-token/token": SecretState.present]
        let certificate = try problems(splunk(), token.merging(["splunk-hec-token/tls.crt": .present]) { $1 })
        #expect(certificate.count == 1 && certificate[0].contains("holds `tls.crt` without `tls.key`"))
        let key = try problems(splunk(), token.merging(["splunk-hec-token/tls.key": .present]) { $1 })
        #expect(key.count == 1 && key[0].contains("holds `tls.key` without `tls.crt`"))
        let both = ["splunk-hec-token/tls.crt": SecretState.present, "splunk-hec-token/tls.key": .present]
        #expect(try problems(splunk(), token.merging(both) { $1 }).isEmpty)
    }
}
