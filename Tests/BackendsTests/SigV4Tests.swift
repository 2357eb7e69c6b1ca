import Crypto
import FoundationEssentials
import Model
import Testing

@testable import Backends
@testable import HTTPClient

/// Signatures against what AWS publishes and what boto makes.
@Suite struct SigV4Tests {
    private static let credentials = AWSCredentials(
        accessKeyID: Secret("AKIAIOSFODNN7EXAMPLE"),
        secretAccessKey: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))

    /// 2013-05-24T00:00:00Z.
    private static let signer = SigV4(credentials: credentials, region: "us-east-1", time: 1_369_353_600)

    private static func request(
        _ method: HTTPMethod, _ key: String, query: [(name: String, value: String)] = [],
        headers: [(name: String, value: String)] = [], body: String = ""
    ) throws -> UnsignedRequest {
        UnsignedRequest(
            method: method, host: "examplebucket.s3.amazonaws.com", path: "/" + PercentCode.encode(key, keeping: "/"),
            query: query, headers: headers, payloadHash: try SHA256.hexadecimal(Array(body.utf8).span))
    }

    /// The four examples of "Signature Calculations for the Authorization Header" (Amazon S3 API Reference).
    @Test func examplesOfTheDocumentation() throws {
        let put = try Self.request(
            .put, "test$file.text",
            headers: [("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            body: "Welcome to Amazon S3.")
        let expected = [
            (
                try Self.request(.get, "test.txt", headers: [("Range", "bytes=0-9")]),
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
            ), (put, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            (
                try Self.request(.get, "", query: [("lifecycle", "")]),
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
            ),
            (
                try Self.request(.get, "", query: [("max-keys", "2"), ("prefix", "J")]),
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
            ),
        ]
        for (request, signature) in expected {
            let value = try #require(try Self.signer.sign(request).last).wireValue
            #expect(value.hasSuffix(", Signature=\(signature)"))
        }
    }

    /// "Deriving the signing key" (AWS General Reference).
    @Test func signingKeyOfTheDocumentation() throws {
        let key = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        let credentials = AWSCredentials(accessKeyID: Secret("AKIDEXAMPLE"), secretAccessKey: key)
        let signer = SigV4(credentials: credentials, region: "us-east-1", service: "iam", time: 1_440_892_800)
        let derived = Hexadecimal.encode(try signer.signingKey())
        #expect(derived == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9")
    }

    /// Every case of Golden/sigv4.txt, which Golden/make-sigv4 has boto sign.
    @Test func sameAsBoto() throws {
        let cases = try GoldenCase.all()
        #expect(cases.count >= 50)
        for golden in cases {
            let signed = try golden.signer.sign(golden.request)
            #expect(signed.last?.wireValue == golden.authorization, "\(golden.request)")
        }
    }

    /// An unsigned one could be changed on the way, and S3 refuses it.
    @Test func everyHeaderIsSigned() throws {
        for golden in try GoldenCase.all() {
            let signed = try golden.signer.sign(golden.request)
            let list = signed.last?.wireValue.split(separator: ", ").first { $0.hasPrefix("SignedHeaders=") }
            let names = Set(list?.dropFirst(14).split(separator: ";").map(String.init) ?? [])
            let sent = Set(signed.dropLast().map { $0.name.lowercased() })
            #expect(names == sent.union(["host"]))
            #expect(sent.isSuperset(of: ["x-amz-date", "x-amz-content-sha256"]))
            #expect(sent.contains("x-amz-security-token") == (golden.signer.credentials.sessionToken != nil))
        }
    }

    @Test func credentialsDoNotShow() throws {
        var signer = Self.signer
        signer.credentials.sessionToken = Secret("hunter2-token")
        let signed = try signer.sign(try Self.request(.get, "a"))
        var dumped = ""
        dump(signed, to: &dumped)
        dump(signer.credentials, to: &dumped)
        let shown = "\(signed) \(signer.credentials) \(dumped)"
        for word in ["hunter2", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", "Signature"] { #expect(!shown.contains(word)) }
    }
}

/// The bytes that `text` stands for (RFC 3986, section 2.1).
private func percentDecoded(_ text: String) -> String {
    var rest = Array(text.utf8)[...]
    var out: [UInt8] = []
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%"), let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) {
            out.append(code)
            rest = rest.dropFirst(2)
        } else {
            out.append(byte)
        }
    }
    return String(decoding: out, as: UTF8.self)
}

/// A case of the golden file.
private struct GoldenCase {
    var request: UnsignedRequest
    var signer: SigV4
    var authorization: String

    static func all() throws -> [GoldenCase] {
        let path = URL(filePath: #filePath).deletingLastPathComponent().path + "/Golden/sigv4.txt"
        let text = try #require(contents(path))
        return try text.split(separator: "\n\n").map { block in
            var fields: [(String, String)] = []
            for line in block.split(separator: "\n") {
                let space = try #require(line.firstIndex(of: " "))
                fields.append((String(line[..<space]), String(line[line.index(after: space)...])))
            }
            return try GoldenCase(fields)
        }
    }

    private init(_ fields: [(String, String)]) throws {
        func one(_ word: String) throws -> String {
            percentDecoded(try #require(fields.first { $0.0 == word }?.1))
        }
        func pairs(_ word: String) -> [(name: String, value: String)] {
            fields.filter { $0.0 == word }.map { _, text in
                let parts = text.split(separator: " ", omittingEmptySubsequences: false)
                return (percentDecoded(String(parts[0])), percentDecoded(String(parts[1])))
            }
        }
        request = UnsignedRequest(
            method: try #require(HTTPMethod(rawValue: try one("method"))), host: try one("host"),
            path: "/" + PercentCode.encode(try one("key"), keeping: "/"), query: pairs("query"),
            headers: pairs("header"), payloadHash: try one("payload"))
        let token = fields.contains { $0.0 == "token" } ? Secret(try one("token")) : nil
        signer = SigV4(
            credentials: AWSCredentials(
                accessKeyID: Secret(try one("id")), secretAccessKey: Secret(try one("secret")), sessionToken: token),
            region: try one("region"), time: try #require(Int64(try one("time"))))
        authorization = try one("authorization")
    }
}
