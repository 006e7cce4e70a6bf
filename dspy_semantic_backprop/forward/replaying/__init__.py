"""Copies of a program that run again on recorded answers: what moves when one answer is changed?"""
