import ExportCore
import Glibc
import Model

/// What the environment says about credentials for AWS. Keys themselves are never taken from it: they would show in
/// the pod's description and could not be rotated.
public struct AWSEnvironment: Sendable, Equatable {
    /// `AWS_ROLE_ARN`.
    var roleARN: String?
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`.
    var tokenFile: String?
    /// `AWS_ROLE_SESSION_NAME`.
    var sessionName: String?
    /// `AWS_ENDPOINT_URL_STS`.
    var stsEndpoint: String?
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    var containerURI: String?
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
    var containerTokenFile: String?
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    var metadataEndpoint: String?

    /// What `variable` gives; those that are empty count as not set.
    init(_ variable: (String) -> String?) {
        func value(_ name: String) -> String? { variable(name).flatMap { $0.isEmpty ? nil : $0 } }
        roleARN = value("AWS_ROLE_ARN")
        tokenFile = value("AWS_WEB_IDENTITY_TOKEN_FILE")
        sessionName = value("AWS_ROLE_SESSION_NAME")
        stsEndpoint = value("AWS_ENDPOINT_URL_STS")
        containerURI = value("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        containerTokenFile = value("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        metadataEndpoint = value("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    }

    /// That of this process.
    public static func current() -> AWSEnvironment {
        AWSEnvironment { name in unsafe getenv(name).map { unsafe String(cString: $0) } }
    }
}

/// The one source of a target's credentials. Which it is depends on what is configured, never on whether it works: a
/// source that fails is an error, and nothing falls through to the next.
enum CredentialSource: Sendable, Equatable {
    /// The keys of a secret.
    case secret(ref: String)
    /// `AssumeRoleWithWebIdentity`.
    case irsa(STSRequest)
    /// The agent of EKS Pod Identity.
    case podIdentity(url: String, tokenFile: String?)
    /// The instance metadata service, version 2.
    case imds(base: String)

    /// Why there is none.
    struct Missing: Error, Equatable {
        var message: String
    }

    static func choose(_ target: Target, _ environment: AWSEnvironment) throws(Missing) -> CredentialSource {
        switch target.s3.credentials {
        case .secret: return try secret(target)
        case .irsa: return try irsa(target, environment)
        case .podIdentity: return try podIdentity(environment)
        case .imds: return try imds(environment)
        case .auto:
            if target.secretRef != nil { return try secret(target) }
            if environment.roleARN != nil || environment.tokenFile != nil { return try irsa(target, environment) }
            if environment.containerURI != nil { return try podIdentity(environment) }
            throw Missing(
                message: "it has no credentials: name a secret with accessKeyId and secretAccessKey by `secretRef`, or"
                    + " give the pod's service account a role (IRSA: AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, or"
                    + " EKS Pod Identity: AWS_CONTAINER_CREDENTIALS_FULL_URI); the node's own role is used only with"
                    + " `credentials: imds`")
        }
    }

    private static func secret(_ target: Target) throws(Missing) -> CredentialSource {
        guard let ref = target.secretRef else {
            throw Missing(message: "it has no secretRef; name a secret that holds accessKeyId and secretAccessKey")
        }
        return .secret(ref: ref)
    }

    private static func irsa(_ target: Target, _ environment: AWSEnvironment) throws(Missing) -> CredentialSource {
        guard let role = environment.roleARN, let file = environment.tokenFile else {
            let (there, lacking) =
                environment.roleARN == nil
                ? ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN") : ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
            let isHalf = environment.roleARN != nil || environment.tokenFile != nil
            throw Missing(
                message: (isHalf ? "\(there) is set without \(lacking)" : "AWS_ROLE_ARN is not set")
                    + "; IRSA sets both: annotate the service account with eks.amazonaws.com/role-arn and restart the pod"
            )
        }
        let endpoint: String
        if let given = environment.stsEndpoint {
            guard PlainHTTP.isAllowed(given, to: []) else {
                throw Missing(message: "AWS_ENDPOINT_URL_STS must be an https address (http only on this machine)")
            }
            if target.s3.fips, AWSHost.isPlainSTS(PlainHTTP.host(given)) {
                throw Missing(
                    message: "AWS_ENDPOINT_URL_STS is no FIPS endpoint of STS, and `global.fips` is true; use one, such"
                        + " as https://sts-fips.us-east-1.amazonaws.com")
            }
            endpoint = given.hasSuffix("/") ? given : given + "/"
        } else {
            guard let host = AWSHost.sts(region: target.s3.region, fips: target.s3.fips) else {
                throw Missing(
                    message: "`global.fips` is true and STS has no FIPS endpoint in \(target.s3.region); name one of"
                        + " another region by AWS_ENDPOINT_URL_STS=https://sts-fips.us-east-1.amazonaws.com")
            }
            endpoint = "https://\(host)/"
        }
        return .irsa(
            STSRequest(
                endpoint: endpoint, roleARN: role, tokenFile: file,
                sessionName: environment.sessionName ?? "sidereal-export"))
    }

    private static func podIdentity(_ environment: AWSEnvironment) throws(Missing) -> CredentialSource {
        guard let uri = environment.containerURI else {
            throw Missing(
                message: "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; associate the service account with a role"
                    + " (EKS Pod Identity) and restart the pod")
        }
        guard PlainHTTP.isAllowed(uri, to: ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]) else {
            throw Missing(
                message: "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor the address of an agent on this node"
                    + " (http is for loopback, 169.254.170.2, 169.254.170.23 and [fd00:ec2::23]); the token would"
                    + " travel unprotected")
        }
        return .podIdentity(url: uri, tokenFile: environment.containerTokenFile)
    }

    private static func imds(_ environment: AWSEnvironment) throws(Missing) -> CredentialSource {
        let base = environment.metadataEndpoint ?? "http://169.254.169.254"
        guard PlainHTTP.isAllowed(base, to: ["169.254.169.254", "fd00:ec2::254"]) else {
            throw Missing(
                message: "AWS_EC2_METADATA_SERVICE_ENDPOINT is neither https nor the metadata service"
                    + " (169.254.169.254, [fd00:ec2::254])")
        }
        return .imds(base: base.hasSuffix("/") ? String(base.dropLast()) : base)
    }
}

/// Which addresses may be asked for credentials.
enum PlainHTTP {
    /// The host of an address that ``isAllowed(_:to:)``, without a port.
    static func host(_ url: String) -> String {
        let authority = url.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        return String(authority.prefix { $0 != ":" })
    }

    /// https to anywhere; http to this machine and to `hosts` only.
    static func isAllowed(_ url: String, to hosts: [String]) -> Bool {
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !url.contains("@"), !url.contains("\\") else {
            return false
        }
        if url.hasPrefix("https://") { return true }
        guard url.hasPrefix("http://") else { return false }
        let authority = url.dropFirst(7).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let host: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return false }
            let rest = authority[authority.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return false }
            host = authority[..<end].dropFirst()
        } else {
            host = authority.prefix { $0 != ":" }
        }
        return hosts.contains(String(host)) || isLoopback(host)
    }

    private static func isLoopback(_ host: Substring) -> Bool {
        if host == "localhost" || host == "::1" { return true }
        let octets = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return octets.count == 4 && octets.allSatisfy { $0 != nil } && octets[0] == 127
    }
}
