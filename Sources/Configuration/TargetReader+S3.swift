import Model

/// What the whole file says and targets depend on.
struct TargetContext {
    var tlsRequired = true
    var limits = Limits()
    var fips = false
    var clusterName = ""
    var impactLevel = ImpactLevel.high
    /// `audit.retentionDays`.
    var retentionDays = 365
}

extension TargetReader {
    /// Endpoint and region: at AWS each tells the other.
    func readS3Place(_ s3: inout S3Settings) -> Endpoint? {
        let given = section.text("region", maxBytes: 40).flatMap(checkedRegion)
        guard section.field("endpoint") != nil else {
            guard let given else {
                if section.field("region") == nil {
                    section.missing(
                        "region", "is missing, and there is no endpoint that names it",
                        hint: "give `region: us-east-1` for AWS; for other servers `endpoint` and `region`")
                }
                return nil
            }
            if context.fips, !AWSHost.hasFIPS(region: given.value) {
                section.problems.add(
                    given.position, given.keyPath,
                    "S3 has no FIPS endpoint in \(shown(given.value)), and `global.fips` is true",
                    hint: "use a bucket in a region of the US, GovCloud or Canada")
            }
            s3.region = given.value
            let host = AWSHost.s3(region: given.value, fips: context.fips)
            return Endpoint(scheme: "https", host: host, port: 443, path: "")
        }
        guard let endpoint = endpoint(.s3) else { return nil }
        let host = AWSHost(endpoint.host)
        if let host { checkS3Host(host, endpoint) }
        if let given, let named = host?.region, given.value != named {
            section.problems.add(
                given.position, given.keyPath,
                "\(shown(given.value)), but the endpoint is that of \(shown(named))",
                hint: "give both of the bucket's region, or only one of them")
        }
        if given == nil, host?.region == nil, section.field("region") == nil {
            section.missing(
                "region", "is missing; the endpoint does not name it",
                hint: "many servers that are not of AWS take `region: us-east-1`")
        }
        s3.region = given?.value ?? host?.region ?? ""
        return endpoint
    }

    private func checkS3Host(_ host: AWSHost, _ endpoint: Endpoint) {
        let place = section.position(of: "endpoint")
        if let bucket = host.bucket {
            let own = endpoint.host.dropFirst(bucket.count + 1)
            section.problems.add(
                place, section.path("endpoint"), "holds the name of a bucket, \(shown(bucket))",
                hint: "give the bucket as `bucket`, and `endpoint: https://\(own)`")
        }
        guard context.fips, !host.isFIPS else { return }
        let region = host.region ?? "us-east-1"
        let hint =
            AWSHost.hasFIPS(region: region)
            ? "use `https://\(AWSHost.s3(region: region, fips: true))`"
            : "use a bucket in a region of the US, GovCloud or Canada"
        section.problems.add(
            place, section.path("endpoint"),
            "is no FIPS endpoint, and `global.fips` is true: TLS would end in a module that is not validated",
            hint: hint)
    }

    private func checkedRegion(_ region: Located<String>) -> Located<String>? {
        let isSound = region.value.utf8.allSatisfy { 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x2D }
        if isSound { return region }
        let meant = region.value.lowercased()
        section.problems.add(
            region.position, region.keyPath, "\(shown(region.value)) is not a region, such as `us-gov-west-1`",
            hint: AWSHost.isRegion(meant) ? "did you mean \(shown(meant))?" : nil)
        return nil
    }

    /// The other keys of the backend `s3`; ``Target/endpoint`` and the region are there already.
    func readS3(_ target: inout Target) {
        target.s3.fips = context.fips
        readBucket(&target)
        readPrefix(&target.s3)
        if let key = section.text("kmsKeyId") {
            if key.value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
                target.s3.kmsKeyID = key.value
            } else {
                section.problems.add(
                    key.position, key.keyPath, "\(shown(key.value)) is not a KMS key",
                    hint: "give its id, its ARN or `alias/name`")
            }
        }
        readContext(&target.s3)
        readRetention(&target.s3)
        if let owner = section.text("expectedBucketOwner") {
            if owner.value.utf8.count == 12, owner.value.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) {
                target.s3.expectedBucketOwner = owner.value
            } else {
                section.problems.add(
                    owner.position, owner.keyPath, "\(shown(owner.value)) is not an AWS account id of 12 digits")
            }
        }
        if let mode = section.choice("credentials", as: S3CredentialMode.self) {
            target.s3.credentials = mode.value
            if mode.value == .secret, section.field("secretRef") == nil {
                section.missing(
                    "secretRef", "is missing, and `credentials` says `secret`",
                    hint: "name the secret with the keys `accessKeyId` and `secretAccessKey`")
            }
        }
    }

    private func readBucket(_ target: inout Target) {
        if let mode = section.choice("addressing", as: S3Addressing.self) {
            target.s3.addressing = mode.value
        }
        guard let bucket = section.text("bucket", maxBytes: 255) else {
            if section.field("bucket") == nil { section.missing("bucket", "is missing", hint: "name the bucket") }
            return
        }
        target.s3.bucket = bucket.value
        guard Self.isBucketName(bucket.value) else {
            let plain = bucket.value.hasPrefix("s3://") ? String(bucket.value.dropFirst(5).prefix { $0 != "/" }) : ""
            section.problems.add(
                bucket.position, bucket.keyPath,
                "\(shown(bucket.value)) cannot be the name of a bucket: 3 to 63 lower-case letters, digits, `-` and `.`",
                hint: Self.isBucketName(plain) ? "did you mean \(shown(plain))?" : nil)
            return
        }
        guard target.s3.addressing == .virtual else { return }
        let place = section.position(of: "addressing")
        let hint = "remove `addressing`, or set it to `path`"
        if bucket.value.contains("."), target.endpoint.scheme == "https" {
            section.problems.add(
                place, section.path("addressing"),
                "`virtual`, but no wildcard certificate fits a bucket with dots in its name", hint: hint)
        }
        if section.section("tls")?.field("serverName") != nil {
            section.problems.add(
                place, section.path("addressing"), "`virtual` and `tls.serverName` exclude each other", hint: hint)
        }
        if target.endpoint.host.contains(":") || target.endpoint.host.utf8.allSatisfy({ $0 < 0x3A }) {
            section.problems.add(
                place, section.path("addressing"), "`virtual`, but the endpoint is an address and not a name",
                hint: hint)
        }
    }

    /// "Bucket naming rules" (Amazon S3 User Guide).
    private static func isBucketName(_ name: String) -> Bool {
        func isEnd(_ byte: UInt8?) -> Bool { byte.map { 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 } ?? false }
        let isSound = name.utf8.allSatisfy { isEnd($0) || $0 == 0x2D || $0 == 0x2E }
        let isAddress = name.utf8.allSatisfy { 0x30...0x39 ~= $0 || $0 == 0x2E }
        return isSound && 3...63 ~= name.utf8.count && isEnd(name.utf8.first) && isEnd(name.utf8.last)
            && !name.contains("..") && !isAddress
    }

    /// Keys hold at most 1024 bytes; what follows the prefix and the cluster's name takes less than 160.
    private func readPrefix(_ s3: inout S3Settings) {
        guard let prefix = section.text("prefix", maxBytes: 512) else { return checkKeyLength(s3) }
        s3.prefix = prefix.value
        while s3.prefix.hasSuffix("/") { s3.prefix.removeLast() }
        let parts = s3.prefix.split(separator: "/", omittingEmptySubsequences: false)
        if s3.prefix.isEmpty || parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) {
            section.problems.add(
                prefix.position, prefix.keyPath,
                "\(shown(prefix.value)) has an empty part, `.` or `..`, which tools take for something else",
                hint: "write `audit/sidereal`, without a slash in front")
        }
        checkKeyLength(s3)
    }

    private func checkKeyLength(_ s3: S3Settings) {
        // Each byte of a name that is not plain takes three.
        guard s3.prefix.utf8.count + 3 * context.clusterName.utf8.count > 1_024 - 160 else { return }
        section.problems.add(
            section.position(of: "prefix"), section.path("prefix"),
            "is too long together with `global.clusterName`: a key holds 1024 bytes", hint: "shorten one of them")
    }

    private func readContext(_ s3: inout S3Settings) {
        guard let pairs = section.section("kmsContext") else { return }
        for key in pairs.keys {
            if let value = pairs.text(key, maxBytes: 256) { s3.kmsContext[key] = value.value }
        }
        // KMS takes 8 KiB; the header fields of a request together hold not much more.
        if s3.kmsContext.reduce(0, { $0 + $1.key.utf8.count + $1.value.utf8.count }) > 2_048 {
            section.problems.add(pairs.position, pairs.keyPath, "is longer than 2048 bytes")
        }
    }

    private func readRetention(_ s3: inout S3Settings) {
        let standard = context.impactLevel == .low ? 365 : 1_095
        s3.retentionDays = max(standard, context.retentionDays)
        s3.leastRetentionDays = context.retentionDays
        guard let days = section.whole("retentionDays", in: 1...36_500, unit: " days") else { return }
        s3.retentionDays = days.value
        if days.value < context.retentionDays {
            section.problems.add(
                days.position, days.keyPath,
                "\(days.value) days, fewer than audit.retentionDays, which is \(context.retentionDays)",
                hint: "objects must stay at least as long as results stay in the cluster")
        }
    }
}
