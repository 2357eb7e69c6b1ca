import HTTPClient
import Model
import Secrets

/// The HEC token, read anew for each request so that a rotated one counts at once.
struct SplunkAccess: Sendable {
    let secrets: SecretDirectory
    let secretRef: String?

    /// `Authorization: Splunk <token>`; nil if the token's file is not there.
    func headers() throws(SecretError) -> [HTTPHeader]? {
        guard let secretRef, let token = try secrets.read(secretRef, key: "token") else { return nil }
        return [HTTPHeader("Authorization", secret: token, prefix: "Splunk ")]
    }
}
