import Testing

/// Each rule on samples that break it, and on the nearest ones that do not.
@Suite struct RuleTests {
    private func broken(_ path: String, _ text: String) -> [String] {
        Rules.all(SourceFile(path: path, text)).map { "\($0.line) \($0.rule.prefix { $0 != ":" })" }
    }

    @Test func longFileIsFound() {
        let text = String(repeating: "let a = 1\n", count: 400)
        #expect(broken("Tests/T/a.swift", text) == [])
        #expect(broken("Tests/T/a.swift", text + "x") == ["401 401 lines; a file has at most 400"])
    }

    @Test func longFunctionIsFound() {
        let body = String(repeating: "    a()\n", count: 69)
        #expect(broken("Sources/Ledger/a.swift", "\n\nfunc f() {\n\(body.dropLast(8))}\n") == [])
        #expect(
            broken("Sources/Ledger/a.swift", "\n\nfunc f() {\n\(body)}\n") == [
                "3 71 lines; a function has at most 70"
            ])
    }

    @Test(arguments: ["try! f()", "x as! Y", "fatalError(\"no\")", "class A: @unchecked  Sendable {}", "print(1)"])
    func forbiddenCallIsFoundEverywhere(code: String) {
        #expect(broken("Sources/Crypto/a.swift", "let a = 1\n" + code).count == 1)
        #expect(broken("Sources/Crypto/a.swift", "let a = 1\n" + code).first?.hasPrefix("2 ") == true)
        #expect(broken("Sources/Crypto/a.swift", "// \(code)\n/* \(code) */ let a = 1") == [])
        #expect(broken("Tests/CryptoTests/a.swift", code) == [])
    }

    @Test(arguments: [
        "Date()", "Int.random(in: 0...1)", "var g = SystemRandomNumberGenerator()",
        "public import Glibc",
    ])
    func impureCallIsFoundInPureTargets(code: String) {
        for target in Rules.pureTargets {
            #expect(broken("Sources/\(target)/a.swift", code).count == 1)
        }
        #expect(broken("Sources/Ledger/a.swift", code) == [])
    }

    @Test(arguments: [
        "try? f()", "x as? Y", "fingerprint(1)", "sprint(2)", "let text = \"try! print(1) as! fatalError(\"",
        "Date(timeIntervalSince1970: 1)", "import FoundationEssentials", "let date = birthDate()",
        "let raw = #\"\\\" print(1)\"#",
    ])
    func innocentCodeIsLeftAlone(code: String) {
        #expect(broken("Sources/Formats/a.swift", code) == [])
    }

    @Test func executableMayPrint() {
        #expect(broken("Sources/SiderealExport/a.swift", "print(1)") == [])
        #expect(broken("Sources/SiderealExport/a.swift", "try! f()").count == 1)
    }

    @Test func callInsideAnInterpolationIsFound() {
        #expect(broken("Sources/Ledger/a.swift", #"let a = "x \(try! f("\(b)")) y""#).count == 1)
        #expect(broken("Sources/Ledger/a.swift", ##"let a = #"x \(try! f()) y"#"##) == [])
        #expect(broken("Sources/Ledger/a.swift", ##"let a = #"x \#(try! f()) y"#"##).count == 1)
    }

    @Test(arguments: Rules.unfinishedWords)
    func unfinishedWordIsFound(word: String) {
        for path in ["Sources/Model/a.swift", "Tests/ModelTests/a.swift"] {
            #expect(broken(path, "// \(word): later").count == 1)
            #expect(broken(path, "let a = \"\(word)\"").count == 1)
            #expect(broken(path, "let a = \"\(word)\(word)\"") == [])
        }
    }

    @Test func jsonCodersAreFoundOnTheDataPath() {
        for target in Rules.dataPathTargets {
            #expect(broken("Sources/\(target)/a.swift", "let a = JSONEncoder()").count == 1)
            #expect(broken("Sources/\(target)/a.swift", "let a = JSONDecoder()").count == 1)
            #expect(broken("Sources/\(target)/a.swift", "struct A: Codable {}").count == 1)
        }
        #expect(broken("Sources/Configuration/a.swift", "struct A: Codable {}") == [])
    }

    @Test func importsPointDown() {
        #expect(broken("Sources/Ledger/a.swift", "internal import CSQLite\npublic import Model\nimport Glibc") == [])
        #expect(
            broken("Sources/Model/a.swift", "\nimport Formats") == [
                "2 Model (layer 1) imports Formats (layer 2)"
            ])
        #expect(broken("Sources/Crypto/a.swift", "public import struct Ledger.SourceID").count == 1)
        #expect(broken("Sources/Coordinator/a.swift", "@testable import ShardWorker").count == 1)
        #expect(
            broken("Sources/HTTPClient/a.swift", "private import COpenSSL") == [
                "1 HTTPClient imports COpenSSL, which only Crypto may"
            ])
        #expect(broken("Tests/LedgerTests/a.swift", "import SiderealExport") == [])
        #expect(broken("Sources/ExportCore/a.swift", "import Protocol") == [])
        #expect(broken("Sources/Protocol/a.swift", "import ExportCore").count == 1)
        #expect(broken("Sources/Model/a.swift", "// import Formats\nlet a = \"import Ledger\"") == [])
    }

    @Test func importsAreLight() {
        #expect(broken("Sources/StatusEndpoint/a.swift", "import FoundationEssentials") == [])
        for module in Rules.heavy {
            #expect(broken("Sources/StatusEndpoint/a.swift", "\ninternal import \(module)").count == 1)
        }
        #expect(broken("Tests/StatusEndpointTests/a.swift", "import Foundation") == [])
    }

    @Test func everyOwnerIsAKnownTarget() {
        #expect(Layers.unknown(["Ledger", "Model", "Extras"]) == ["Extras"])
        #expect(Layers.unknown(Array(Layers.owners.keys) + Layers.owners.values.flatMap { $0 }) == [])
        #expect(Rules.pureTargets.union(Rules.dataPathTargets).allSatisfy { Layers.table[$0] != nil })
    }

    @Test func unevenBackendsAreFound() {
        let whole = ["Access.swift", "Backend.swift", "RequestBuilder.swift", "Verdict.swift"]
        #expect(Rules.unevenBackends([:]) == [])
        #expect(Rules.unevenBackends(["Splunk": whole.map { "Splunk\($0)" }]) == [])
        #expect(Rules.unevenBackends(["S3": whole.map { "S3\($0)" } + ["SigV4.swift"]]) == [])
        let torn = [
            "ElasticsearchAccess.swift", "ElasticsearchBackend.swift", "Verdict.swift", "S3RequestBuilder.swift",
        ]
        #expect(
            Rules.unevenBackends(["Elasticsearch": torn]) == [
                "Elasticsearch lacks ElasticsearchRequestBuilder.swift"
            ])
    }

    @Test func scannerBlanksStringsAndComments() {
        let samples = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (#"f("a\"b{", c)"#, "f(       , c)"),
            (##"f(#"a"b\"#, c)"##, "f(        , c)"),
            (#"f("x\(y("}"))z")"#, "f(    y(   )   )"),
            ("f(\"\"\"\n a \" {\n \"\"\", b)", "f(   \n      \n    , b)"),
            ("#if A\n#endif", "#if A\n#endif"),
        ]
        for (text, expected) in samples {
            #expect(String(decoding: SwiftText(text).code, as: UTF8.self) == expected, "\(text)")
        }
    }

    @Test func scannerMeasuresFunctions() {
        let text = """
            protocol P {
                func noBody(_ a: Int)
                init(x: Int)
                func alsoNone() -> Int
            }
            struct S {
                init?(a: Int = [1].map({ $0 }).count) {
                    self.init(b: "}")
                }
                func long(
                    a: () -> Void = { }
                ) throws(E)
                    -> Int where A: B
                {
                    let s = "\\(f { 1 })"
                    return .init(a) { b }
                }
                deinit { free() }
                subscript(i: Int) -> Int {
                    get { 1 }
                }
                func one() { func inner() {
                    x()
                } }
            }
            """
        let lengths = SwiftText(text).functions.map { [$0.firstLine, $0.lineCount] }
        #expect(lengths == [[7, 3], [10, 8], [18, 1], [19, 3], [22, 3], [22, 3]])
    }
}
