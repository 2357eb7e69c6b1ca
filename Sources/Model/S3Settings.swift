/// How a bucket is named in a request.
public enum S3Addressing: String, Sendable, CaseIterable {
    /// By host name at AWS, in the path elsewhere and for names with dots.
    case auto
    /// `https://host/bucket/key`.
    case path
    /// `https://bucket.host/key`.
    case virtual
}

/// Where credentials for AWS come from.
public enum S3CredentialMode: String, Sendable, CaseIterable {
    /// The secret if there is a `secretRef`, else IRSA if its environment is there, else Pod Identity. Never IMDS.
    case auto
    /// `accessKeyId` and `secretAccessKey` of the secret.
    case secret
    /// IAM roles for service accounts: `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE`.
    case irsa
    /// EKS Pod Identity: `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    case podIdentity
    /// The node's own role, by the instance metadata service, version 2.
    case imds
}

/// What a target of the backend `s3` has besides the settings of all.
public struct S3Settings: Sendable, Equatable {
    /// The bucket's name.
    public var bucket = ""
    /// What requests are signed for.
    public var region = ""
    /// What keys begin with; no slash at either end, may be empty.
    public var prefix = "sidereal-proberesults"
    /// Key id, ARN or alias; nil: the account's key for S3.
    public var kmsKeyID: String?
    /// Encryption context; empty: none of our own.
    public var kmsContext: [String: String] = [:]
    /// Days from the upload until an object may be deleted.
    public var retentionDays = 1_095
    /// `audit.retentionDays`: fewer days no object may be locked.
    public var leastRetentionDays = 365
    /// How the bucket is named.
    public var addressing = S3Addressing.auto
    /// Account that the bucket must belong to, 12 digits.
    public var expectedBucketOwner: String?
    /// Where credentials come from.
    public var credentials = S3CredentialMode.auto
    /// Whether `global.fips` is set, so that AWS is asked for credentials at its FIPS endpoints only.
    public var fips = false

    /// The defaults.
    public init() {}

    /// Whether the bucket stands in the host name. Certificates of S3 hold one wildcard, which no name with a dot fits.
    public func usesVirtualHost(_ endpoint: Endpoint, serverName: String?) -> Bool {
        switch addressing {
        case .path: return false
        case .virtual: return true
        case .auto:
            guard let host = AWSHost(endpoint.host), !host.isVPCEndpoint, serverName == nil else { return false }
            return !bucket.contains(".")
        }
    }
}

/// A host name of S3 at AWS, taken apart ("Amazon S3 endpoints and quotas", AWS General Reference).
public struct AWSHost: Sendable, Equatable {
    /// nil: the name does not tell.
    public var region: String?
    /// `s3-fips`.
    public var isFIPS: Bool
    /// An interface endpoint of a VPC (AWS PrivateLink).
    public var isVPCEndpoint: Bool
    /// What stands before the endpoint's own name: a bucket, wrongly.
    public var bucket: String?

    /// What the names of each partition end in.
    private static let suffixes = [
        ".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".c2s.ic.gov", ".sc2s.sgov.gov", ".cloud.adc-e.uk",
        ".csp.hci.ic.gov",
    ]

    /// Nil if the host is not of AWS.
    public init?(_ host: String) {
        guard let suffix = Self.suffixes.first(where: host.hasSuffix) else { return nil }
        var labels = host.dropLast(suffix.count).split(separator: ".").map(String.init)
        isVPCEndpoint = labels.last == "vpce"
        if isVPCEndpoint { labels.removeLast() }
        if let last = labels.last, Self.isRegion(last) {
            region = last
            labels.removeLast()
        }
        if labels.last == "dualstack" { labels.removeLast() }
        let service = labels.popLast() ?? ""
        isFIPS = service == "s3-fips" || service.hasPrefix("s3-fips-")
        if region == nil, service == "s3" {
            // The oldest name of all means the oldest region.
            region = "us-east-1"
        } else if region == nil, service.hasPrefix("s3-"), Self.isRegion(String(service.dropFirst(3))) {
            region = String(service.dropFirst(3))
        }
        bucket = isVPCEndpoint || labels.isEmpty ? nil : labels.joined(separator: ".")
    }

    /// `us-gov-west-1`: words, the last one a number.
    public static func isRegion(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 3, let last = parts.last, !last.isEmpty, last.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else {
            return false
        }
        return parts.dropLast().allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { 0x61...0x7A ~= $0 }
        }
    }

    /// Whether S3 has a FIPS endpoint in `region` ("FIPS 140-3", aws.amazon.com/compliance/fips).
    public static func hasFIPS(region: String) -> Bool { region.hasPrefix("us-") || region.hasPrefix("ca-") }

    /// What the names of a region's partition end in.
    public static func suffix(region: String) -> String {
        let partitions = [
            ("cn-", 1), ("eusc-", 2), ("us-iso-", 3), ("us-isob-", 4), ("eu-isoe-", 5), ("us-isof-", 6),
        ]
        return suffixes[partitions.first { region.hasPrefix($0.0) }?.1 ?? 0]
    }

    /// The regional endpoint of S3.
    public static func s3(region: String, fips: Bool) -> String {
        (fips ? "s3-fips." : "s3.") + region + suffix(region: region)
    }

    /// Whether a host is one of STS at AWS whose TLS ends in a module that is not validated.
    public static func isPlainSTS(_ host: String) -> Bool {
        let name = host.lowercased()
        guard let parsed = AWSHost(name.hasSuffix(".") ? String(name.dropLast()) : name) else { return false }
        return !name.split(separator: ".").contains("sts-fips") && parsed.region?.hasPrefix("us-gov-") != true
    }

    /// The regional endpoint of STS; nil if there is none that is validated. In GovCloud the plain name is.
    public static func sts(region: String, fips: Bool) -> String? {
        guard fips, !region.hasPrefix("us-gov-") else { return "sts." + region + suffix(region: region) }
        guard region.hasPrefix("us-east-") || region.hasPrefix("us-west-") else { return nil }
        return "sts-fips." + region + suffix(region: region)
    }
}
