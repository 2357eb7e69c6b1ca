import Compression
import Crypto
import Model
import Sandbox
import Testing

@Suite struct ElasticsearchTests {
    static let filter = "?filter_path=errors,items.*.status,items.*.error"

    static func post(
        _ server: SandboxServer, _ body: String, path: String = "/_bulk" + filter,
        headers: [String: String] = [:]
    ) async throws -> RawHTTP.Answer {
        var headers = headers
        if headers["Content-Type"] == nil { headers["Content-Type"] = "application/x-ndjson" }
        return try await RawHTTP(port: server.elasticsearchPort).send(
            "POST", path, headers: headers, body: Array(body.utf8))
    }

    static func create(_ id: String, index: String = "i", source: String = #"{"a":1}"#) -> String {
        #"{"create":{"_index":"\#(index)","_id":"\#(id)"}}"# + "\n" + source + "\n"
    }

    @Test func newDocumentsAre201AndKnownOnes409() async throws {
        try await withSandbox { server in
            let first = try await Self.post(server, Self.create("a") + Self.create("b"))
            #expect(first.status == 200)
            #expect(
                first.text == #"{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}"#)
            #expect(first.headers["x-elastic-product"] == "Elasticsearch")
            let second = try await Self.post(server, Self.create("b") + Self.create("b", index: "other"))
            #expect(
                second.text
                    == #"{"errors":true,"items":[{"create":{"status":409,"error":{"type":"#
                    + #""version_conflict_engine_exception","reason":"#
                    + #""[b]: version conflict, document already exists (current version [1])"}}},"#
                    + #"{"create":{"status":201}}]}"#)
            let stats = server.stats().elasticsearch
            #expect(stats.recordsReceived == 4)
            #expect(stats.uniqueIDs == 3)
            #expect(stats.duplicates == 1)
            let seen = Set(server.identities(of: .elasticsearch).map { "\($0.index ?? "")/\($0.id)=\($0.count)" })
            #expect(seen == ["i/a=1", "i/b=2", "other/b=1"])
        }
    }

    @Test func anUnfilteredAnswerNamesEachDocument() async throws {
        try await withSandbox { server in
            let answer = try await Self.post(
                server, #"{"create":{"_id":"a\"b"}}"# + "\n{}\n", path: "/probes/_bulk")
            #expect(answer.status == 200)
            #expect(answer.text.hasPrefix(#"{"took":"#))
            #expect(answer.text.contains(#""_index":"probes","_id":"a\"b","_version":1,"result":"created""#))
        }
    }

    @Test(arguments: ["[1]", "1", "{", #"{"a":1} x"#, "", #"{"a":}"#])
    func aSourceThatIsNoObjectFailsAlone(source: String) async throws {
        try await withSandbox { server in
            let answer = try await Self.post(server, Self.create("a", source: source) + Self.create("b"))
            #expect(answer.status == 200)
            #expect(answer.text.hasPrefix(#"{"errors":true,"items":[{"create":{"status":400,"error":{"type":"#))
            #expect(answer.text.contains("document_parsing_exception"))
            #expect(answer.text.hasSuffix(#"{"create":{"status":201}}]}"#))
            #expect(server.stats().elasticsearch.recordsRejected == 1)
            #expect(server.identities(of: .elasticsearch).map(\.id) == ["b"])
        }
    }

    @Test(arguments: [
        ("", "request body is required"), ("{\"create\":{\"_index\":\"i\"}}\n{}", "must be terminated by a newline"),
        ("{\"index\":{\"_index\":\"i\",\"_id\":\"1\"}}\n{}\n", "op_type of create are allowed, found [index]"),
        ("{\"drop\":{}}\n{}\n", "expected one of [create, delete, index, update] but found [drop]"),
        ("{}\n{}\n", "Malformed action/metadata line [1]"), ("[]\n{}\n", "Malformed action/metadata line [1]"),
        ("{\"create\":{\"_index\":\"i\",\"_type\":\"t\"}}\n{}\n", "unknown parameter [_type]"),
        ("{\"create\":{\"_id\":\"1\"}}\n{}\n", "index is missing"),
        ("{\"create\":{\"_index\":\"i\",\"_id\":\"\"}}\n{}\n", "_id is specified it must not be empty"),
        ("{\"create\":{\"_index\":\"i\"}}\n", "its source line is missing"), ("\n", "no requests added"),
    ])
    func aMalformedRequestIs400AndStoresNothing(tail: String, reason: String) async throws {
        try await withSandbox { server in
            let head = tail.isEmpty || tail == "\n" ? "" : Self.create("a")
            let expected = reason.replacing("line [1]", with: head.isEmpty ? "line [1]" : "line [3]")
            let answer = try await Self.post(server, head + tail)
            #expect(answer.status == 400)
            #expect(answer.text.contains(expected), "\(answer.text)")
            #expect(answer.text.hasSuffix(#"},"status":400}"#))
            #expect(server.stats().elasticsearch.recordsReceived == 0)
            #expect(server.identities(of: .elasticsearch).isEmpty)
        }
    }

    @Test(arguments: ["text/plain", "application/x-www-form-urlencoded", "json"])
    func otherContentTypesAre406(type: String) async throws {
        try await withSandbox { server in
            let answer = try await Self.post(server, Self.create("a"), headers: ["Content-Type": type])
            #expect(answer.status == 406)
            #expect(answer.text == #"{"error":"Content-Type header [\#(type)] is not supported","status":406}"#)
            let good = try await Self.post(
                server, Self.create("a"), headers: ["Content-Type": "application/json; charset=utf-8"])
            #expect(good.status == 200)
        }
    }

    @Test func credentialsAreCheckedWhenConfigured() async throws {
        let change = { (options: inout SandboxOptions) in
            options.username = "elastic"
            options.password = Secret("pass:word")
            options.apiKey = Secret("id:key")
        }
        try await withSandbox(change) { server in
            let good = [
                "Basic " + Base64.encode(Array("elastic:pass:word".utf8)),
                "ApiKey " + Base64.encode(Array("id:key".utf8)),
            ]
            for credentials in good {
                let answer = try await Self.post(
                    server, Self.create(credentials), headers: ["Authorization": credentials])
                #expect(answer.status == 200)
            }
            for credentials in ["", "Basic AAAA", "ApiKey id:key", "Bearer x"] {
                let headers = credentials.isEmpty ? [:] : ["Authorization": credentials]
                let answer = try await Self.post(server, Self.create("x"), headers: headers)
                #expect(answer.status == 401)
                #expect(answer.text.contains("security_exception"))
                #expect(answer.headers["www-authenticate"]?.contains("Basic realm") == true)
            }
            #expect(server.stats().elasticsearch.recordsReceived == 2)
        }
    }

    @Test func anEncodedKeyIsTheSameKey() async throws {
        let encoded = Base64.encode(Array("id:key".utf8))
        try await withSandbox({ $0.apiKey = Secret(encoded) }) { server in
            let answer = try await Self.post(
                server, Self.create("a"), headers: ["Authorization": "ApiKey " + encoded])
            #expect(answer.status == 200)
        }
    }

    @Test func gzipLimitAndDamage() async throws {
        try await withSandbox({ $0.maxBodyBytes = 10_000 }) { server in
            let client = RawHTTP(port: server.elasticsearchPort)
            var headers = ["Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"]
            let small = try Gzip.compress(Array(Self.create("a").utf8).span).array
            #expect(try await client.send("POST", "/_bulk", headers: headers, body: small).status == 200)
            let many = Array((0..<400).map { Self.create("\($0)") }.joined().utf8)
            let packed = try Gzip.compress(many.span).array
            #expect(many.count > 10_000)
            #expect(packed.count < 10_000)
            let long = try await client.send("POST", "/_bulk", headers: headers, body: packed)
            #expect(long.status == 413)
            #expect(long.body.isEmpty)
            #expect(try await client.send("POST", "/_bulk", headers: headers, body: [1, 2, 3]).status == 400)
            headers["Content-Encoding"] = "zstd"
            #expect(try await client.send("POST", "/_bulk", headers: headers, body: small).status == 400)
            #expect(server.stats().elasticsearch.uniqueIDs == 1)
        }
    }

    @Test func clusterInformationTemplatesAndUnknownPaths() async throws {
        try await withSandbox { server in
            let client = RawHTTP(port: server.elasticsearchPort)
            let root = try await client.send("GET", "/")
            #expect(root.status == 200)
            #expect(root.text.contains(#""version":{"number":"8."#))
            #expect(root.headers["x-elastic-product"] == "Elasticsearch")
            let head = try await client.send("HEAD", "/")
            #expect(head.status == 200)
            #expect(head.body.isEmpty)
            let json = ["Content-Type": "application/json"]
            let template = try await client.send(
                "PUT", "/_index_template/sidereal", headers: json, body: Array(#"{"index_patterns":["s-*"]}"#.utf8))
            #expect(template.text == #"{"acknowledged":true}"#)
            let kept = try await client.send("GET", "/_index_template/sidereal")
            #expect(
                kept.text
                    == #"{"index_templates":[{"name":"sidereal","index_template":{"index_patterns":["s-*"]}}]}"#)
            let unknown = try await client.send("GET", "/_index_template/other")
            #expect(unknown.status == 404)
            let bad = try await client.send("PUT", "/_index_template/sidereal", headers: json, body: Array("[".utf8))
            #expect(bad.status == 400)
            let lost = try await client.send("GET", "/nowhere/_search")
            #expect(lost.status == 400)
            #expect(lost.text.contains("no handler found for uri [/nowhere/_search] and method [GET]"))
        }
    }

    @Test func aDocumentWithoutIDGetsOne() async throws {
        try await withSandbox { server in
            let answer = try await Self.post(server, "{\"create\":{\"_index\":\"i\"}}\n{}\n")
            #expect(answer.text.contains(#""status":201"#))
            #expect(server.stats().elasticsearch.recordsWithoutID == 1)
        }
    }
}
