"""The colours of the drawing, for a light page and for a dark one: those of docs/four-ways.svg."""

from typing import Final

STYLE: Final = """\
    .paper { fill: #ffffff; }
    .cluster { fill: #f4f7fb; stroke: #b9c6d6; }
    .host { fill: #e6f4ea; stroke: #2e9d57; }
    .node, .client { fill: #ffffff; stroke: #8fa1b6; }
    .proxy { fill: #eef2f7; stroke: #8fa1b6; }
    .chip-pod { fill: #dbe9ff; stroke: #2f6fde; }
    .chip-gone { fill: none; stroke: #c93a3a; stroke-dasharray: 4 3; }
    .reply { fill: #fff6e0; stroke: #c98a1b; }
    .way-pod, .way-local, .way-node, .way-in, .away { fill: none; }
    .way-pod { stroke: #2e9d57; }
    .way-local { stroke: #c98a1b; }
    .way-node { stroke: #9a55c4; }
    .way-in { stroke: #8fa1b6; }
    .away { stroke: #9a55c4; stroke-dasharray: 5 4; }
    .tip-pod, .dot-pod { fill: #2e9d57; }
    .tip-local, .dot-local { fill: #c98a1b; }
    .tip-node, .dot-node { fill: #9a55c4; }
    .tip-in { fill: #8fa1b6; }
    .num { fill: #ffffff; font-size: 12px; font-weight: 600; text-anchor: middle; }
    .title { fill: #1f2a37; font-size: 18px; font-weight: 600; }
    .head { fill: #1f2a37; font-size: 14px; font-weight: 600; }
    .name { fill: #1f2a37; font-size: 14px; font-weight: 600; text-anchor: middle; }
    .big { fill: #1f2a37; font-size: 18px; font-weight: 600; text-anchor: middle; }
    .label { fill: #1f2a37; font-size: 12px; text-anchor: middle; }
    .start { fill: #1f2a37; font-size: 12px; }
    .small { fill: #5a6878; font-size: 12px; }
    .mid { fill: #5a6878; font-size: 12px; text-anchor: middle; }
    .share { fill: #5a6878; font-size: 11px; }
    .bad { fill: #b02a2a; font-size: 12px; }
    .word-pod { fill: #1d7f43; font-size: 14px; font-weight: 600; }
    .word-local { fill: #946309; font-size: 14px; font-weight: 600; }
    .word-node { fill: #7c3aa6; font-size: 14px; font-weight: 600; }
    .word-none { fill: #b02a2a; font-size: 14px; font-weight: 600; }
    .rule { stroke: #d7e0ea; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; }
      .cluster { fill: #161d27; stroke: #3b4a5d; }
      .host { fill: #12301e; stroke: #46c274; }
      .node, .client { fill: #1d2733; stroke: #6f8299; }
      .proxy { fill: #263342; stroke: #6f8299; }
      .chip-pod { fill: #17305c; stroke: #6ea0ff; }
      .chip-gone { stroke: #ff7b72; }
      .reply { fill: #33280f; stroke: #e0a83c; }
      .way-pod { stroke: #46c274; }
      .way-local { stroke: #e0a83c; }
      .way-node, .away { stroke: #c08be6; }
      .way-in { stroke: #7d90a7; }
      .tip-pod, .dot-pod { fill: #46c274; }
      .tip-local, .dot-local { fill: #e0a83c; }
      .tip-node, .dot-node { fill: #c08be6; }
      .tip-in { fill: #7d90a7; }
      .num { fill: #0d1117; }
      .title, .head, .name, .big, .label, .start { fill: #e6edf3; }
      .small, .mid, .share { fill: #a6b4c4; }
      .bad, .word-none { fill: #ff7b72; }
      .word-pod { fill: #46c274; }
      .word-local { fill: #e0a83c; }
      .word-node { fill: #c08be6; }
      .rule { stroke: #2c3846; }
    }
"""
