import Configuration
import Model
import Testing

/// Settings of the backend `s3`.
@Suite struct S3Tests {
    private static let path = "export.targets[0]"

    private func s3(_ lines: String..., head: String = "") -> String {
        target(["backend: s3", "bucket: audit-logs"] + lines, head: head)
    }

    private func read(_ text: String, _ location: SourceLocation = #_sourceLocation) throws -> Target {
        #expect(problems(text).map(\.description) == [], sourceLocation: location)
        return try #require(Configuration.parse(text, name: "f").targets.first, sourceLocation: location)
    }

    @Test func theLeastThatIsNeeded() throws {
        let target = try read(s3("region: us-gov-west-1"))
        #expect(target.endpoint.base == "https://s3.us-gov-west-1.amazonaws.com:443")
        #expect(target.s3.bucket == "audit-logs" && target.s3.region == "us-gov-west-1")
        #expect(target.s3.prefix == "sidereal-proberesults" && target.s3.retentionDays == 1_095)
        #expect(target.s3.kmsKeyID == nil && target.s3.kmsContext.isEmpty && target.s3.expectedBucketOwner == nil)
        #expect(target.s3.addressing == .auto && target.s3.credentials == .auto && !target.s3.fips)
        #expect(target.compression == .gzip && target.maxConcurrency == 4)
        #expect(target.batch == BatchBounds(maxRecords: 10_000, maxBytes: 5_000_000, maxAgeMilliseconds: 60_000))
    }

    @Test func everything() throws {
        let target = try read(
            s3(
                "endpoint: https://minio.example.com:9000", "region: us-east-1", "prefix: audit/sidereal/",
                "kmsKeyId: arn:aws:kms:us-east-1:1:key/abc", "kmsContext: {app: sidereal, \"a:b\": ü}",
                "retentionDays: 2555", "addressing: virtual", "expectedBucketOwner: \"012345678901\"",
                "credentials: irsa", "compression: none", "secretRef: certificates"))
        #expect(target.endpoint.host == "minio.example.com" && target.s3.prefix == "audit/sidereal")
        #expect(target.s3.kmsContext == ["app": "sidereal", "a:b": "ü"])
        #expect(target.s3.retentionDays == 2_555 && target.s3.addressing == .virtual)
        #expect(target.s3.expectedBucketOwner == "012345678901" && target.s3.credentials == .irsa)
    }

    @Test func regionAndEndpointTellEachOther() throws {
        let named = try read(s3("endpoint: https://s3-fips.us-gov-east-1.amazonaws.com"))
        #expect(named.s3.region == "us-gov-east-1")
        try expect(
            s3("prefix: a"), at: (3, 7), "\(Self.path).region", "is missing, and there is no endpoint that names it",
            hint: "us-east-1")
        try expect(
            s3("endpoint: https://minio.example.com"), at: (3, 7), "\(Self.path).region",
            "is missing; the endpoint does not name it", hint: "us-east-1")
        try expect(
            s3("endpoint: https://s3.us-east-1.amazonaws.com", "region: us-east-2"), at: (6, 15),
            "\(Self.path).region", "`us-east-2`, but the endpoint is that of `us-east-1`", hint: "give both")
        try expect(
            s3("region: US-EAST-1"), at: (5, 15), "\(Self.path).region", "is not a region",
            hint: "did you mean `us-east-1`?")
    }

    @Test func endpointsThatHoldMore() throws {
        try expect(
            s3("endpoint: https://audit.s3.us-east-1.amazonaws.com"), at: (5, 7), "\(Self.path).endpoint",
            "holds the name of a bucket, `audit`", hint: "`endpoint: https://s3.us-east-1.amazonaws.com`")
        try expect(
            s3("endpoint: https://s3.us-east-1.amazonaws.com/audit"), at: (5, 17), "\(Self.path).endpoint",
            "holds a path", hint: "give the bucket as `bucket`")
    }

    @Test func fipsMeansFIPSEndpoints() throws {
        let fips = "global: {fips: true}\n"
        let made = try read(s3("region: us-east-1", head: fips))
        #expect(made.endpoint.host == "s3-fips.us-east-1.amazonaws.com" && made.s3.fips)
        try expect(
            s3("endpoint: https://s3.us-gov-west-1.amazonaws.com", head: fips), at: (5, 7), "\(Self.path).endpoint",
            "is no FIPS endpoint", hint: "use `https://s3-fips.us-gov-west-1.amazonaws.com`")
        try expect(
            s3("region: eu-west-1", head: fips), at: (5, 15), "\(Self.path).region",
            "S3 has no FIPS endpoint in `eu-west-1`", hint: "GovCloud")
        try expect(
            s3("endpoint: https://s3.eu-west-1.amazonaws.com", head: fips), at: (5, 7), "\(Self.path).endpoint",
            "is no FIPS endpoint", hint: "GovCloud")
        // Of other servers nobody can tell.
        _ = try read(s3("endpoint: https://minio.agency.gov", "region: us-east-1", head: fips))
    }

    @Test func retentionFollowsTheImpactLevel() throws {
        func days(_ head: String, _ lines: String...) throws -> Int {
            try read(target(["backend: s3", "bucket: abc", "region: us-east-1"] + lines, head: head)).s3.retentionDays
        }
        #expect(try days("global: {impactLevel: high}\n") == 1_095)
        #expect(try days("global: {impactLevel: moderate}\n") == 1_095)
        #expect(try days("global: {impactLevel: low}\n") == 365)
        #expect(try days("audit: {retentionDays: 2000}\n") == 2_000)
        #expect(try days("global: {impactLevel: low}\n", "retentionDays: 180") == 180)
        #expect(try days("", "retentionDays: 365") == 365)
        let longer = target(["backend: s3", "bucket: abc", "region: us-east-1"], head: "audit: {retentionDays: 400}\n")
        #expect(try read(longer).s3.leastRetentionDays == 400)
        for (level, floor) in [("high", 365), ("moderate", 365), ("low", 180)] {
            try expect(
                s3("region: us-east-1", "retentionDays: \(floor - 1)", head: "global: {impactLevel: \(level)}\n"),
                at: (6, 22), "\(Self.path).retentionDays", "fewer than audit.retentionDays, which is \(floor)",
                hint: "at least as long")
        }
        try expect(
            s3("region: us-east-1", "retentionDays: 36501"), at: (6, 22), "\(Self.path).retentionDays",
            "from 1 to 36500 days", hint: nil)
    }

    @Test(arguments: [
        "ab", "Audit", "a_b", "-ab", "ab-", "a..b", "192.168.0.1", "a/b", "arn:aws:s3:::audit",
        "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg",
    ])
    func badBuckets(_ name: String) throws {
        let text = target(["backend: s3", "bucket: \"\(name)\"", "region: us-east-1"])
        try expect(text, at: (4, 15), "\(Self.path).bucket", "cannot be the name of a bucket", hint: nil)
    }

    @Test func bucketIsNeeded() throws {
        try expect(
            target(["backend: s3", "region: us-east-1"]), at: (3, 7), "\(Self.path).bucket", "is missing",
            hint: "name the bucket")
        let text = target(["backend: s3", "bucket: s3://audit/x", "region: us-east-1"])
        #expect(try problem(text).hint == "did you mean `audit`?")
    }

    @Test func addressingThatCannotWork() throws {
        let dotted = target(["backend: s3", "bucket: a.b.c", "region: us-east-1", "addressing: virtual"])
        try expect(dotted, at: (6, 7), "\(Self.path).addressing", "no wildcard certificate fits", hint: "`path`")
        try expect(
            s3("region: r", "endpoint: https://10.0.0.1", "addressing: virtual"), at: (7, 7),
            "\(Self.path).addressing", "is an address and not a name", hint: "`path`")
        try expect(
            s3("region: us-east-1", "addressing: virtual", "tls: {serverName: a}"), at: (6, 7),
            "\(Self.path).addressing", "exclude each other", hint: "`path`")
    }

    @Test(arguments: ["/audit", "a//b", "a/../b", "./a", "/"]) func badPrefixes(_ prefix: String) throws {
        try expect(
            s3("region: us-east-1", "prefix: \(prefix)"), at: (6, 15), "\(Self.path).prefix", "has an empty part",
            hint: "without a slash in front")
    }

    @Test func keysThatWouldBeTooLong() throws {
        let prefix = String(repeating: "a", count: 500)
        let head = "global: {clusterName: \(String(repeating: "b", count: 200))}\n"
        try expect(
            s3("region: us-east-1", "prefix: \(prefix)", head: head), at: (6, 7), "\(Self.path).prefix",
            "a key holds 1024 bytes", hint: "shorten")
    }

    @Test func otherMistakes() throws {
        try expect(
            s3("region: us-east-1", "expectedBucketOwner: 123456789012"), at: (6, 28),
            "\(Self.path).expectedBucketOwner", "expected text, found a number", hint: "put it in quotes")
        try expect(
            s3("region: us-east-1", "expectedBucketOwner: \"1234\""), at: (6, 28),
            "\(Self.path).expectedBucketOwner", "not an AWS account id", hint: nil)
        try expect(
            s3("region: us-east-1", "kmsKeyId: my key"), at: (6, 17), "\(Self.path).kmsKeyId", "is not a KMS key",
            hint: "alias/name")
        try expect(
            s3("region: us-east-1", "credentials: node"), at: (6, 20), "\(Self.path).credentials",
            "expected one of `auto`, `secret`, `irsa`, `podIdentity`, `imds`", hint: nil)
        try expect(
            s3("region: us-east-1", "credentials: secret"), at: (3, 7), "\(Self.path).secretRef",
            "`credentials` says `secret`", hint: "accessKeyId")
        try expect(
            s3("region: us-east-1", "kmsContext: {a: 1}"), at: (6, 23), "\(Self.path).kmsContext.a",
            "expected text, found a number", hint: "put it in quotes")
    }

    @Test func onlyASourceThatReadsTheSecretNeedsItsKeys() throws {
        for (mode, needed) in [("auto", 1), ("secret", 1), ("irsa", 0), ("podIdentity", 0), ("imds", 0)] {
            let target = try read(s3("region: us-east-1", "secretRef: aws", "credentials: \(mode)"))
            #expect(SecretRequirement(target).alternatives.count == needed)
        }
        #expect(SecretRequirement(try read(s3("region: us-east-1"))).alternatives.isEmpty)
    }
}
