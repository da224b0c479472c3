#!/bin/sh
# Trains the bundled models, seed 42 (the second part of four-block: 43). Run it from the top of the checkout, with FER2013 as
# class folders in fer2013/, fer2013.csv and the FER+ votes in fer2013new.csv. Started again, it goes on where it stopped;
# without runs/NAME and reproduced/NAME.keras, it trains NAME again.
#
#   sh models/reproduce.sh            one command for each model, into reproduced/: about ten hours of two CPU cores by
#                                     the cards; close to the shipped files, not identical
#   sh models/reproduce.sh chain      an earlier fer2013, step by step (docs/experiments.md): eleven commands, eight hours.
#                                     first.keras was stopped by hand after 65 of 84 epochs, and the
#                                     batch-norm statistics of third.keras were re-estimated; training does so by itself now.
#   sh models/reproduce.sh reference  the other classroom networks
#   sh models/reproduce.sh gpu        the plan for a GPU; it has not been run
#   sh models/reproduce.sh rehearse   that plan but for its speed tests, for one epoch on 800 images, with JAX on a CPU
#
# The first needs the packages of requirements-export.txt, the last needs jax, and the plan itself JAX for a GPU
# (docs/install-gpu.md).
set -eu
out=reproduced runs=runs short=
votes="--data fer2013.csv --votes fer2013new.csv"
labels="--data fer2013/" # FER2013's own, which are scored
mixed="$votes --vote-mode mixed"

# The output is the last argument. A finished training prints its scores again, an interrupted one goes on.
train() {
    mkdir -p $out
    for output; do :; done
    run=$runs/$(basename "$output" .keras) way=
    if [ -e $run/checkpoint.npz ]; then
        way=--resume
    elif [ -e $run/run.json ] && ! [ -e "$output" ]; then # stopped in its first epoch
        way=--overwrite
    fi
    python train.py $way $short --run-dir "$run" "$@"
}

fast() {
    train $votes --recipe fer2013-fast --teacher $out/default.keras --output $out/one.keras
}

ferplus() {
    train $votes --recipe ferplus --output $out/eight.keras
}

gpu() {
    # Four teachers, three students, and a small student: docs/install-gpu.md says how long, by arithmetic.
    export KERAS_BACKEND=jax
    [ "$short" ] || for recipe in se-resnet vgg; do
        python benchmarks/train_input.py --recipe $recipe --peak 989 # of an H100 or H200, bfloat16, dense
    done
    for seed in 1 2 3 4; do train $mixed --recipe se-resnet --seed $seed --output $out/teacher$seed.keras; done
    teachers="$out/teacher1.keras $out/teacher2.keras $out/teacher3.keras $out/teacher4.keras"
    for seed in 42 43 44; do
        train $mixed --recipe se-resnet --seed $seed --teacher $teachers --teacher-once --teacher-flip \
            --output $out/student$seed.keras
    done
    train $votes --recipe fer2013-fast --teacher $teachers --output $out/fast-gpu.keras
    python export_model.py $out/fast-gpu.keras --precision float16 $labels --overwrite \
        --output $out/fast-gpu-small.keras
    for tta in none ten-crop; do
        for model in $out/student42.keras $out/student43.keras $out/student44.keras $out/fast-gpu-small.keras "$teachers"; do
            python evaluate.py --model $model $labels --leakage-against ${labels#--data } --tta $tta
        done
    done
}

rehearse() {
    out=rehearsal runs=rehearsal/runs short="--epochs 1 --precision float32"
    mkdir -p $out
    for name in fer2013 fer2013new; do # the same 800 training and 200 validation rows of both
        sed -n '1,801p;28711,28910p' $name.csv >$out/$name.csv
    done
    labels="--data $out/fer2013.csv" votes="--data $out/fer2013.csv --votes $out/fer2013new.csv"
    mixed="$votes --vote-mode mixed"
    gpu
}

four_block() {
    train --data fer2013/ --recipe four-block --epochs 29 --output $out/begun.keras
    train --data fer2013/ --recipe four-block --init $out/begun.keras --learning-rate 2e-4 --epochs 19 --seed 43 \
        --output $out/four-block.keras
}

fer2013() {
    train $votes --recipe fer2013 --output $out/default.keras
}

chain() {
    all=--no-unseen-validation # these runs chose their epochs on all validation images
    mixed="$mixed $all"
    train --data fer2013/ --recipe vgg $all --output $out/first.keras
    train $votes $all --recipe vgg-finetune --init $out/first.keras --label-smoothing 0 --output $out/votes.keras
    train $mixed --recipe vgg-finetune --init $out/votes.keras --teacher $out/first.keras --teacher-share 0.4 \
        --learning-rate 0.03 --output $out/second.keras
    train $mixed --recipe vgg-cooldown --init $out/second.keras --teacher $out/second.keras --teacher-share 0.5 \
        --output $out/third.keras
    train $mixed --recipe vgg-distill --width 28 --init $out/third.keras --teacher $out/third.keras \
        --output $out/fast.keras
    train $mixed --recipe vgg-distill --init $out/third.keras --teacher $out/third.keras $out/fast.keras \
        --output $out/fourth.keras
    train $mixed --recipe vgg --width 48 --epochs 52 --label-smoothing 0 --output $out/wide.keras
    train $mixed --recipe vgg-distill --width 48 --init $out/wide.keras --teacher $out/wide.keras $out/fourth.keras \
        --output $out/fifth.keras
    train $mixed --recipe vgg-cooldown --init $out/fourth.keras --teacher $out/fifth.keras --teacher-share 0.5 \
        --epochs 6 --learning-rate 0.02 --output $out/sixth.keras
    train $mixed --recipe vgg-cooldown --init $out/sixth.keras --teacher $out/fifth.keras $out/wide.keras \
        --teacher-share 0.5 --epochs 12 --learning-rate 0.02 --output $out/seventh.keras
    train $mixed --recipe vgg-cooldown --width 48 --init $out/fifth.keras --teacher $out/seventh.keras $out/wide.keras \
        --teacher-share 0.5 --epochs 8 --learning-rate 0.02 --output $out/eighth.keras
}

reference() {
    for recipe in plain five-conv four-block-rgb; do
        train --data fer2013/ --recipe $recipe --output $out/$recipe.keras
        python evaluate.py --model $out/$recipe.keras --data fer2013/ --leakage-against fer2013/
    done
    train $votes --recipe four-block-wide --output $out/four-block-wide.keras
    python evaluate.py --model $out/four-block-wide.keras $votes --leakage-against fer2013.csv
}

threshold() {
    python evaluate.py --model $out/$1.keras --data fer2013/ --leakage-against fer2013/ --fit-threshold 0.8
}

# The float16 and int8 files of a model: NAME NEW_NAME DATA...
finish() {
    from=$out/$1.keras to=$out/$2
    shift 2
    python export_model.py $from --precision float16 "$@" --overwrite --output $to.keras
    python export_model.py $to.keras --precision int8 "$@" --overwrite --output $to.tflite
}

case "${1:-single}" in
    chain | reference | gpu | rehearse) "$1" ;;
    single)
        python -c "import ai_edge_litert" # before hours of training: the exports need it
        four_block
        fer2013
        threshold default
        finish default fer2013 --data fer2013/
        fast
        threshold one
        finish one fer2013-fast --data fer2013/
        ferplus
        finish eight ferplus $votes
        ;;
    *)
        echo "usage: sh models/reproduce.sh [single|chain|reference|gpu|rehearse]" >&2
        exit 2
        ;;
esac
