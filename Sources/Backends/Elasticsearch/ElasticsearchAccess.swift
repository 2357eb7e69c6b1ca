import Crypto
import HTTPClient
import Model
import Secrets

/// An API key, or a user name and password, read anew for each request so that rotated ones count at once.
struct ElasticsearchAccess: Sendable {
    let secrets: SecretDirectory
    let secretRef: String?

    /// The `Authorization` header; none without a secret; nil if the secret lacks the files.
    func headers() throws(SecretError) -> [HTTPHeader]? {
        guard let secretRef else { return [] }
        if let key = try secrets.read(secretRef, key: "apiKey") {
            return [HTTPHeader("Authorization", secret: Self.encoded(apiKey: key), prefix: "ApiKey ")]
        }
        guard let user = try secrets.read(secretRef, key: "username"),
            let password = try secrets.read(secretRef, key: "password")
        else { return nil }
        let pair = Array("\(user.reveal()):\(password.reveal())".utf8)
        return [HTTPHeader("Authorization", secret: Secret(Base64.encode(pair)), prefix: "Basic ")]
    }

    /// Kibana shows a key both raw (`id:key`) and encoded; a colon cannot stand in Base64, so it tells them apart.
    static func encoded(apiKey: Secret) -> Secret {
        let text = apiKey.reveal()
        return text.contains(":") ? Secret(Base64.encode(Array(text.utf8))) : apiKey
    }
}
