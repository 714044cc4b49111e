import LOLViT

/// One line of a result: a label with its share as a number and a bar.
public struct ResultRow: Equatable, Sendable, Identifiable {
    public let id: Int
    public let label: String

    /// 0 to 1, the length of the bar.
    public let share: Double
    public let value: String

    /// Of a class that is drawn over the photo.
    public let color: ClassColor?

    /// What VoiceOver says of the line.
    public let spoken: Message
}

extension Screen {
    /// The lines of an outcome, the most important first.
    public func rows(_ outcome: Outcome) -> [ResultRow] {
        switch outcome {
        case .classes(let scores):
            scores.enumerated().map { place, score in
                row(place, score.label, score.probability, nil, place == 0 ? .spokenFirst : .spokenScore)
            }
        case .objects(let objects):
            objects.enumerated().map { place, object in
                row(place, object.label, object.score, color(object.index), .spokenObject)
            }
        case .map(let map):
            map.shares.enumerated().map { place, share in
                row(place, share.label, share.share, color(share.index), .spokenShare)
            }
        }
    }

    private func row(
        _ place: Int, _ label: String, _ share: Double, _ color: ClassColor?, _ spoken: Words
    ) -> ResultRow {
        let value = Figures.percent(share)
        return ResultRow(
            id: place, label: label, share: min(max(share, 0), 1), value: value, color: color,
            spoken: Message(spoken, .text(label), .text(value)))
    }

    private func color(_ index: Int) -> ClassColor? {
        guard let colors = model?.spec?.colors, colors.indices.contains(index) else { return nil }
        return colors[index]
    }

    /// What VoiceOver says of the photo and of what is drawn over it.
    public var photoDescription: Message {
        switch result?.outcome {
        case .objects(let objects): Message(.photoWithObjects, .count(objects.count))
        case .map: Message(.photoWithMap)
        case .classes, nil: Message(.photoShown)
        }
    }

    /// How many runs the latency is of, and what came beside the model's own time.
    public var howMeasured: [Message] {
        guard let latency, let result else { return [] }
        guard latency.runs > 0 else { return [Message(.latencyFirst)] }
        return [
            Message(.latencyRuns, .count(latency.runs)),
            Message(
                .latencyParts, .text(Figures.milliseconds(result.preprocessMs)),
                .text(Figures.milliseconds(result.postprocessMs))),
        ]
    }

    /// The self-check of the opened model, and the compute units that were tried before.
    public var openedLines: [Message] {
        guard let openedOn else { return [] }
        let tried = openedOn.tried.map {
            Message(.fallback, .words($0.unit.words), .message($0.reason))
        }
        return tried + [openedOn.selfCheck]
    }
}

extension ModelEntry {
    /// Task, input size and whether it is trained; or why it can't be read.
    public var detail: Message {
        guard let spec else { return problem?.text ?? Message(.noModel) }
        let size = spec.preprocessing.size
        return Message(
            .modelDetail, .words(spec.task.words), .count(size.height), .count(size.width),
            .words(spec.trained ? .trained : .notTrained))
    }
}
