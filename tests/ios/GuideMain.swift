import CoreML
import Foundation
import ImageIO
import LOLViTModels

// What Linux lacks comes from Python: the decoder's pixels, and the model's outputs. The Neural Engine
// is one that computes something else.
let fixtures = URL(fileURLWithPath: CommandLine.arguments[1])

struct Case: Decodable {
    let input: Data  // base64
    let logits: [Float]
}

struct Fixture: Decodable {
    let folder: String
    let artifact: String
    let height: Int
    let width: Int
    let rgb: Data  // base64
    let cases: [Case]
}

let fixture = try JSONDecoder().decode(
    Fixture.self, from: Data(contentsOf: fixtures.appendingPathComponent("fixture.json")))
let photo = try Data(contentsOf: fixtures.appendingPathComponent("photo.jpg"))
StubPhotos.shared.register(
    photo,
    StubPhoto(StubImage(width: fixture.width, height: fixture.height, rgb: [UInt8](fixture.rgb))))
let answers = fixture.cases.map { ([UInt8]($0.input), $0.logits) }
let artifact = LOLViTModels.folder.appendingPathComponent(fixture.folder)
    .appendingPathComponent(fixture.artifact)
StubModels.shared.register(
    artifact,
    StubModel { inputs, units in
        guard let found = answers.first(where: { $0.0 == inputs["image"] }) else {
            throw StubError("an input that Python did not prepare")
        }
        let logits = units == .cpuAndNeuralEngine ? found.1.map { -$0 } : found.1
        return ["logits": ([1, logits.count], logits)]
    })

let classifier = try PhotoClassifier()
let choice = try await classifier.open()
guard let best = try await classifier.classify(photo) else { fatalError("no class") }
let shown: [String: Any] = [
    "engine": choice.id, "index": best.index, "label": best.label, "probability": best.probability,
]
try JSONSerialization.data(withJSONObject: shown).write(to: fixtures.appendingPathComponent("shown.json"))
